/** What is kept of a visitor: in the page, and in the browser's first-party storage only while that is allowed. */
export type Memory = ReturnType<typeof memory>;

const PREFIX = "trolleybus:";

export function memory() {
  const held = new Map<string, unknown>();
  let stored = false;

  function storage(use: (storage: Storage) => string | null | void): string | null | void {
    try {
      return use(localStorage);
    } catch {
      return null; // Blocked or full: what is held in the page is all there is.
    }
  }

  function get<T>(name: string): T | undefined {
    if (stored) {
      const text = storage((all) => all.getItem(PREFIX + name)); // Another tab may have written.
      try {
        if (text) held.set(name, JSON.parse(text));
      } catch {
        // Not ours.
      }
    }
    return held.get(name) as T | undefined;
  }

  function set(name: string, value: unknown): void {
    held.set(name, value);
    if (stored) storage((all) => all.setItem(PREFIX + name, JSON.stringify(value)));
  }

  /** From now on in the browser too: what is there already comes first. */
  function keep(): void {
    stored = true;
    for (const [name, value] of [...held]) if (get(name) === value) set(name, value);
  }

  /** Nothing is left, here or in the browser. */
  function forget(): void {
    stored = false;
    held.clear();
    storage((all) => Object.keys(all).filter((name) => name.startsWith(PREFIX)).forEach((name) => all.removeItem(name)));
  }

  /** Whether an earlier page was allowed to store. */
  const wasKept = (): boolean => !!storage((all) => all.getItem(PREFIX + "consent"));

  return { get, set, keep, forget, wasKept };
}
