import type { Guard } from "./guard";
import type { Cart, Line } from "./types";

const SETTLED_MS = 100;
const LINE = ["product_id", "variant_id", "line_id", "name", "unit_price", "discount", "url", "image_url", "category", "brand"];
const CART = ["cart_id", "currency", "discount", "cart_url"];
const ROLE = "data-trolleybus";

interface Told {
  addItem(line: Line): void;
  view(productId: string): void;
}

/** Reads what the page shows in data-trolleybus attributes: a cart and its lines, a product, buttons that add. */
export function pageReader(cartIs: (cart: Cart) => void, told: Told, { on, safe }: Guard): void {
  let viewed = "";
  let timer: ReturnType<typeof setTimeout> | undefined;

  const read = safe(() => {
    const cart = document.querySelector<HTMLElement>(`[${ROLE}=cart]`);
    if (cart) {
      const lines = [...cart.querySelectorAll<HTMLElement>(`[${ROLE}=line]`)].map(lineOf);
      cartIs({ ...fieldsOf(cart, CART), lines });
    }
    const product = document.querySelector<HTMLElement>(`[${ROLE}=product]`)?.dataset.productId;
    if (product && product !== viewed) told.view((viewed = product));
  });

  const soon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(read, SETTLED_MS);
  };

  on(document, "click", ({ target }) => {
    const button = target instanceof Element && target.closest<HTMLElement>(`[${ROLE}=add]`);
    if (button) told.addItem(lineOf(button));
  });
  if (document.readyState === "loading") on(document, "DOMContentLoaded", read);
  else read();
  const fields = [...LINE, ...CART, "quantity"].map((name) => "data-" + name.replace("_", "-"));
  new MutationObserver(soon).observe(document, { subtree: true, childList: true, attributeFilter: [ROLE, ...fields] });
}

function lineOf(element: HTMLElement): Line {
  const { quantity } = element.dataset;
  return { ...fieldsOf(element, LINE), ...(quantity && { quantity: +quantity }) } as unknown as Line;
}

function fieldsOf(element: HTMLElement, names: string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = element.getAttribute("data-" + name.replace("_", "-"));
    if (value) found[name] = value;
  }
  return found;
}
