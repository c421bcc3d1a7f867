import type { Guard } from "./guard";
import type { Cart, Options } from "./types";
import type { Visitor } from "./visitor";

/** A message's link led here: the page is told which cart to show again. */
export function restoredCart(options: Options, visitor: Visitor, cart: Cart | undefined, guard: Guard): void {
  const cartId = new URLSearchParams(location.search).get(options.restoreParameter || "trolleybus_cart");
  if (!cartId) return;
  const { anonymous_id, customer_id } = visitor.identity();
  // A cart that the shop gives no id stands under its shopper's.
  const own = [cart?.cart_id, "shopper:" + anonymous_id, "shopper:" + customer_id];
  const found = { ...(own.includes(cartId) && cart), cart_id: cartId };
  if (!cart?.lines.length) visitor.adopt(cartId);
  const restore = guard.safe(() => {
    document.dispatchEvent(new CustomEvent("trolleybus:restore", { detail: found }));
    options.onRestore?.(found);
  });
  if (document.readyState === "loading") guard.on(document, "DOMContentLoaded", restore);
  else restore();
}
