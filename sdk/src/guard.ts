/** Nothing of ours may break a page: faults end here. */
export type Guard = ReturnType<typeof guards>;

export function guards(onError: () => ((error: Error) => void) | undefined) {
  let warned = false;

  function report(fault: unknown): void {
    const error = fault instanceof Error ? fault : new Error(String(fault));
    if (!warned) {
      warned = true;
      console.warn("trolleybus:", error.message);
    }
    try {
      onError()?.(error);
    } catch {
      // The page's own handler failed: there is nobody left to tell.
    }
  }

  function safe<A extends unknown[], R>(run: (...given: A) => R): (...given: A) => R | undefined {
    return (...given) => {
      try {
        return run(...given);
      } catch (fault) {
        report(fault);
        return undefined;
      }
    };
  }

  function on(target: EventTarget, types: string, run: (event: any) => void): void {
    for (const type of types.split(" ")) target.addEventListener(type, safe(run), { capture: true, passive: true });
  }

  return { report, safe, on };
}
