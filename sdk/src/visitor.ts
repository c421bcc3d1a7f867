import type { Memory } from "./memory";

/** The visitor as this browser knows them; no field that is a person's name or address. */
interface Known {
  /** Anonymous id. */
  a?: string;
  /** Customer id. */
  c?: string;
  /** Cart id. */
  k?: string;
  /** Session: its id, when it was last active, whether its exit intent was shown. */
  s?: string;
  t?: number;
  x?: boolean;
}

export type Visitor = ReturnType<typeof visitor>;

const IDLE_MS = 30 * 60_000;
const agent = navigator.userAgent;
const DEVICE = /iPad|Tablet|Android(?!.*Mobile)/i.test(agent) ? "tablet" : /Mobi|iPhone/i.test(agent) ? "mobile" : "desktop";

export function visitor(memory: Memory) {
  const known = (): Known => ({ ...memory.get<Known>("visitor") });
  const save = (change: Known): Known => {
    const now = { ...known(), ...change };
    memory.set("visitor", now);
    return now;
  };

  function anonymousId(): string {
    return known().a || (save({ a: uuid() }).a as string);
  }

  /** Makes a new session after half an hour without activity. */
  function session(): Known {
    const { s, t = 0 } = known();
    const at = Date.now();
    return !s || at - t > IDLE_MS ? save({ s: uuid(), t: at, x: false }) : save({ t: at });
  }

  /** What every event says of its shopper. */
  const identity = () => {
    const { c } = known();
    return { anonymous_id: anonymousId(), ...(c && { customer_id: c }) };
  };

  /** What every event of a cart says besides. A cart that is named is remembered for those that name none. */
  function circumstances(cartId?: string) {
    const { s, k } = session();
    if (cartId && cartId !== k) save({ k: cartId });
    return { session_id: s, device: DEVICE, ...((cartId || k) && { cart_id: cartId || k }) };
  }

  /** A customer who is not the one before parts from what the one before did. */
  function signIn(customerId: string): void {
    const { c } = known();
    if (c && c !== customerId) reset();
    save({ c: customerId });
  }

  function reset(): void {
    memory.set("visitor", {});
    memory.set("cart", null);
  }

  /** True once a session. */
  function leavesFirst(): boolean {
    if (session().x) return false;
    save({ x: true });
    return true;
  }

  /** A restored cart is this visitor's from now on, unless there is one already. */
  function adopt(cartId: string): void {
    if (!known().k) save({ k: cartId });
  }

  return { anonymousId, identity, circumstances, signIn, reset, leavesFirst, adopt };
}

/** A random id; crypto.randomUUID is there on https only. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 15) | 64;
  bytes[8] = (bytes[8]! & 63) | 128;
  return [...bytes].map((byte, at) => (/^(4|6|8|10)$/.test("" + at) ? "-" : "") + (byte + 256).toString(16).slice(1)).join("");
}
