import type { Guard } from "./guard";
import type { Memory } from "./memory";

/** An event on its way: the endpoint, which is also the name of its list, and the body. */
interface Waiting {
  to: "carts/track" | "customers";
  event: { event_id: string; [field: string]: unknown };
}

export type Queue = ReturnType<typeof queue>;

const MOST = 200;
const MOST_BYTES = 200_000;
const BATCH = 50;
const BATCH_BYTES = 50_000; // Browsers carry 64 KiB beyond the end of a page.
const GATHER_MS = 200;
const TIMEOUT_MS = 20_000;
const LONGEST_PAUSE_MS = 300_000;

/** Keeps events until the gateway has them. A repeat is harmless: each event has an id of its own. */
export function queue(memory: Memory, guard: Guard, host: string, key: string, may: () => boolean) {
  const send = window.fetch.bind(window); // As it is before anybody observes it.
  const beaconed = new Set<string>();
  let sending = new Set<string>();
  let failures = 0;
  let resumeAt = 0; // After a failure of the network; what the gateway itself asked for is kept for the next page too.
  let timer: ReturnType<typeof setTimeout> | undefined;

  const pause = (): number => Math.max(resumeAt, memory.get<number>("pause") || 0) - Date.now();

  const waiting = (): Waiting[] => memory.get<Waiting[]>("queue") || [];

  function put(to: Waiting["to"], event: Waiting["event"]): void {
    const list = waiting();
    list.push({ to, event });
    let lost = 0;
    while (list.length > MOST || (list.length > 1 && JSON.stringify(list).length > MOST_BYTES)) {
      list.shift();
      lost++;
    }
    memory.set("queue", list);
    if (lost) guard.report(new Error(`${lost} events were dropped: the gateway was away for too long`));
    later(GATHER_MS);
  }

  function done(ids: Set<string>): void {
    memory.set("queue", waiting().filter(({ event }) => !ids.has(event.event_id)));
  }

  function later(ms: number): void {
    clearTimeout(timer);
    timer = setTimeout(guard.safe(flush), Math.max(ms, pause()));
  }

  /** The next request: events of one endpoint, in their order. */
  function next(but: Set<string>): { url: string; body: string; bytes: number; ids: Set<string> } | undefined {
    const all = waiting().filter(({ event }) => !but.has(event.event_id));
    const to = all[0]?.to;
    if (!to) return undefined;
    const list: Waiting[] = [];
    let bytes = 0;
    for (const one of all.filter((other) => other.to === to)) {
      const size = new Blob([JSON.stringify(one)]).size;
      if (list.length === BATCH || (list.length && bytes + size > BATCH_BYTES)) break;
      list.push(one);
      bytes += size;
    }
    const events = list.map(({ event }) => event);
    const body = { sent_at: new Date().toISOString(), [to === "customers" ? to : "events"]: events };
    return {
      url: `${host}/api/v1/${to}?write_key=${encodeURIComponent(key)}`,
      body: JSON.stringify(body),
      bytes,
      ids: new Set(events.map(({ event_id }) => event_id)),
    };
  }

  /** Sends what waits, one request after the other. */
  function flush(): void {
    if (!may() || sending.size || navigator.onLine === false) return;
    if (pause() > 0) return later(0);
    const request = next(beaconed);
    if (!request) return;
    const { url, body, bytes, ids } = request;
    sending = ids;
    const abort = new AbortController();
    const timeout = setTimeout(() => abort.abort(), TIMEOUT_MS);
    // Plain text needs no preflight; keepalive outlives the page.
    send(url, { method: "POST", body, keepalive: bytes <= BATCH_BYTES, credentials: "omit", signal: abort.signal })
      .then((answer) => settle(answer, ids))
      .catch(() => (resumeAt = backOff()))
      .then(() => {
        clearTimeout(timeout);
        sending = new Set();
        later(0);
      })
      .catch(guard.report);
  }

  async function settle(answer: Response, ids: Set<string>): Promise<void> {
    const { status } = answer;
    if (status === 202) {
      failures = 0;
      done(ids);
      const said = await answer.json();
      for (const { errors } of said.results) if (errors) guard.report(new Error("refused: " + JSON.stringify(errors)));
    } else if (status === 400 || status === 413 || status === 422) {
      done(ids); // The same again would be answered the same.
      guard.report(new Error(`refused with ${status}: ${await answer.text()}`));
    } else {
      if (status < 429) guard.report(new Error(`the gateway answers ${status}: is the write key right, and this page's origin in the store's settings?`));
      memory.set("pause", Math.max(backOff(), Date.now() + 1000 * (Number(answer.headers.get("Retry-After")) || 0)));
    }
  }

  /** When to come again: later each time, and not all pages at once. */
  function backOff(): number {
    return Date.now() + Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2);
  }

  /** The page goes: hand over what is not on its way yet. It stays queued, since nobody hears the answer. */
  function beacon(): void {
    if (!may() || navigator.onLine === false) return;
    for (let request; (request = next(new Set([...beaconed, ...sending]))); ) {
      if (!navigator.sendBeacon(request.url, request.body)) return;
      request.ids.forEach((id) => beaconed.add(id));
    }
  }

  /** Once everybody else has: what they put in at the page's end is to go too. */
  function listen(): void {
    guard.on(window, "pagehide", beacon);
    guard.on(document, "visibilitychange", () => {
      if (document.visibilityState === "hidden") flush();
    });
    guard.on(window, "online", () => {
      resumeAt = 0;
      flush();
    });
    guard.on(window, "pageshow", () => {
      beaconed.clear();
      later(0);
    });
    later(0);
  }

  return { put, flush, listen };
}
