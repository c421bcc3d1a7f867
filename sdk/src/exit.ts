import type { Guard } from "./guard";

const FAST_PX = 400;
const FAST_MS = 400;

/** Calls whenever a shopper seems to leave: the pointer over the top edge; a fast scroll up, or back, by finger. */
export function exitIntent(back: boolean, { on }: Guard, leaves: () => void): void {
  on(document, "mouseout", ({ relatedTarget, clientY }: MouseEvent) => {
    if (!relatedTarget && clientY <= 0) leaves();
  });
  if (!matchMedia("(pointer: coarse)").matches) return;

  let fromY = scrollY;
  let fromMs = 0;
  on(window, "scroll", ({ timeStamp }: Event) => {
    if (scrollY > fromY || timeStamp - fromMs > FAST_MS) {
      fromY = scrollY;
      fromMs = timeStamp;
    } else if (fromY - scrollY > FAST_PX) leaves();
  });
  if (back) {
    history.pushState(history.state, "");
    on(window, "popstate", leaves);
  }
}
