import { client, type Client } from "./client";
import { guards } from "./guard";
import type { Consent, Options } from "./types";

type Call = [name: string, ...given: any[]];

const NAMES = [
  "setCart", "addItem", "removeItem", "setItem", "clearCart", "checkoutStep", "view",
  "contact", "identify", "reset", "consent", "anonymousId", "flush",
] as const;
const MOST_WAITING = 100;

const script = document.currentScript instanceof HTMLScriptElement ? document.currentScript : undefined;
let options: Partial<Options> = {};
let started: Client | undefined;
const waiting: Call[] = [];
const guard = guards(() => options.onError);

function init(given: Options): void {
  if (started) throw new Error("init was called before");
  options = { host: script && new URL(script.src).origin, ...given } as Options;
  started = client(options as Options, guard);
  waiting.splice(0).forEach((one) => call(...one));
}

/** Calls from before init wait for it. */
const call = guard.safe((name: string, ...given: any[]): any => {
  if (name === "init") return init(given[0]);
  if (!NAMES.includes(name as any)) throw new Error(`no such call: ${name}; orders are sent by the shop's server`);
  if (started) return (started as any)[name](...given);
  if (waiting.length < MOST_WAITING) waiting.push([name, ...given]);
});

const page = window as { trolleybus?: any };
const early = page.trolleybus;
if (!early || Array.isArray(early)) {
  const api: Record<string, any> = { push: guard.safe((one: Call) => call(...one)), init: (given: Options) => call("init", given) };
  for (const name of NAMES) api[name] = (...given: unknown[]) => call(name, ...given);
  page.trolleybus = api;
  const { key, host, consent, contacts, cart, exit, restore } = script?.dataset || {};
  if (key) {
    const attributes = {
      key,
      ...(host && { host }),
      ...(consent && { consent: consent as Consent }),
      ...(cart && { cartEndpoint: cart as "shopify" }),
      ...(restore && { restoreParameter: restore }),
      captureContacts: contacts === "true",
      exitIntent: exit === "true",
    };
    call("init", attributes);
  }
  if (early) early.forEach(api.push);
}
