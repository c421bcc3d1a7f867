import { cartEndpoint } from "./endpoint";
import { exitIntent } from "./exit";
import { contacts } from "./forms";
import type { Guard } from "./guard";
import { memory as newMemory } from "./memory";
import { pageReader } from "./page";
import { queue as newQueue } from "./queue";
import { restoredCart } from "./restore";
import type { Cart, CartOf, Consent, Contact, Line, Options, Person } from "./types";
import { uuid, visitor as newVisitor } from "./visitor";

export type Client = ReturnType<typeof client>;

/** Everything that a page may call, once its options are known. */
export function client(options: Options, guard: Guard) {
  const { key, host } = options;
  if (!/^tbw_/.test(key || "")) throw new Error("init needs the store's write key, tbw_…; a secret key has no place in a page");
  if (!host) throw new Error("init needs host, the gateway's address");

  const memory = newMemory();
  let state = options.consent;
  const may = (): boolean => !state || state === "granted";
  const queue = newQueue(memory, guard, host.replace(/\/$/, ""), key, may);
  const visitor = newVisitor(memory);
  let lastCart = "";

  const own = () => ({ event_id: uuid(), occurred_at: new Date().toISOString(), ...visitor.identity() });
  const place = () => ({ locale: navigator.language, time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone });

  function track(event: string, fields: Record<string, unknown>, cartId?: string): void {
    if (state === "denied") return;
    queue.put("carts/track", { event, ...own(), ...visitor.circumstances(cartId), ...place(), ...fields });
  }

  function consent(now: Consent): void {
    state = now;
    if (now === "granted") {
      memory.set("consent", now);
      memory.keep();
      queue.flush();
    } else if (now === "denied") {
      memory.forget();
      lastCart = "";
    }
  }

  /** The whole cart, as it is now. The same again is not sent again by the same page. */
  function setCart(cart: Cart): void {
    const { lines, cart_url, ...rest } = cart;
    const fields = { ...rest, ...(cart_url && { cart_url: absolute(cart_url) }), lines: lines.map(complete) };
    const seen = JSON.stringify(fields);
    if (seen === lastCart) return;
    lastCart = seen;
    track("cart_updated", fields, cart.cart_id);
    memory.set("cart", state === "denied" ? null : fields);
  }

  /** A cart that the page was not told of but showed: an empty one is news only where there was one. */
  function noticed(cart: Cart): void {
    if (cart.lines.length || memory.get<Cart>("cart")?.lines.length) setCart(cart);
  }

  function change(event: string, line: Line | Line[], cart: CartOf = {}): void {
    lastCart = "";
    const lines = ([] as Line[]).concat(line).map(complete);
    track(event, { ...cart, ...(cart.cart_url && { cart_url: absolute(cart.cart_url) }), lines }, cart.cart_id);
  }

  const api = {
    setCart,
    addItem: (line: Line | Line[], cart?: CartOf) => change("item_added", line, cart),
    removeItem: (line: Line | Line[], cart?: CartOf) => change("item_removed", line, cart),
    setItem: (line: Line | Line[], cart?: CartOf) => change("item_set", line, cart),
    clearCart(cart: { cart_id?: string } = {}): void {
      lastCart = "";
      track("cart_emptied", { ...cart }, cart.cart_id);
      memory.set("cart", null);
    },
    checkoutStep: (step: string) => track("checkout_step", { step }),
    view: (productId: string) => track("product_viewed", { product_id: productId }),
    contact: (contact: Contact) => track("contact_captured", { ...contact }),
    identify(person: Person): void {
      if (state === "denied") return;
      if (person.customer_id) visitor.signIn(person.customer_id);
      queue.put("customers", { ...own(), ...place(), ...person });
    },
    reset(): void {
      lastCart = "";
      visitor.reset();
    },
    consent,
    anonymousId: (): string | undefined => (state === "denied" ? undefined : visitor.anonymousId()),
    flush: queue.flush,
  };

  if (state === "unknown" && memory.wasKept()) state = "granted";
  if (state) consent(state);
  else memory.keep();

  const seenCart = (): Cart | undefined => memory.get<Cart>("cart") || undefined;
  if (state !== "denied") guard.safe(restoredCart)(options, visitor, seenCart(), guard);
  if (options.cartEndpoint) guard.safe(cartEndpoint)(options.cartEndpoint, noticed, guard);
  if (options.observePage !== false) guard.safe(pageReader)(noticed, api, guard);
  if (options.captureContacts) contacts(() => state === "granted", api.contact, guard);
  if (options.exitIntent || options.onExitIntent) {
    const { back, activity } = typeof options.exitIntent === "object" ? options.exitIntent : ({} as Record<string, undefined>);
    exitIntent(!!back, guard, () => {
      if (!visitor.leavesFirst()) return;
      if (activity) api.checkoutStep("exit_intent");
      document.dispatchEvent(new CustomEvent("trolleybus:exit", { detail: seenCart() }));
      options.onExitIntent?.(seenCart());
    });
  }
  queue.listen();
  return api;
}

function complete(line: Line): Line {
  const { url, image_url } = line;
  return { ...line, ...(url && { url: absolute(url) }), ...(image_url && { image_url: absolute(image_url) }) };
}

function absolute(address: string): string {
  return new URL(address, document.baseURI).href;
}
