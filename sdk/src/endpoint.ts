import type { Guard } from "./guard";
import type { Cart, CartEndpoint, Line } from "./types";

/** Shopify's Ajax API: prices in hundredths whatever the currency. */
const SHOPIFY: CartEndpoint = {
  url: /\/cart(\/(update|change|clear))?(\.js|\.json)(\?|$)/,
  changes: { url: /\/cart\/add(\.js|\.json)?(\?|$)/, read: "/cart.js" },
  map(answer: any) {
    if (!answer?.items) return undefined;
    const discounts: any[] = answer.cart_level_discount_applications || [];
    const discount = discounts.reduce((sum, one) => sum + one.total_allocated_amount, 0);
    return {
      cart_id: answer.token,
      currency: answer.currency,
      ...(discount && { discount: major(discount) }),
      lines: answer.items.map((item: any) => ({
        line_id: item.key,
        product_id: "" + item.product_id,
        variant_id: "" + item.variant_id,
        name: item.title,
        quantity: item.quantity,
        unit_price: major(item.final_price),
        url: item.url,
        image_url: item.image || "",
        category: item.product_type || "",
        brand: item.vendor || "",
      })),
    };
  },
};

/** Looks on while the page talks with its own shop, and reads the cart in the answers. The page notices nothing. */
export function cartEndpoint(given: "shopify" | CartEndpoint, noticed: (cart: Cart) => void, { safe, on }: Guard): void {
  const { url, changes, map, paths } = given === "shopify" ? SHOPIFY : given;
  const plainFetch = window.fetch;

  const read = safe((answer: unknown): void => {
    const cart = map ? map(answer) : paths && picked(answer, paths);
    if (cart) noticed(cart);
  });

  const readAgain = (): void => {
    plainFetch(changes!.read).then((answer) => answer.json()).then(read, () => {}); // The shop was away: next time.
  };

  /** What to do with the answer from an address; a page's own answers are never waited for. */
  const wanted = (address: string): ((json: () => unknown) => void) | undefined => {
    const full = new URL(address, document.baseURI).href;
    if (changes && hits(changes.url, full)) return readAgain;
    return hits(url, full) ? (json) => void new Promise((done) => done(json())).then(read, () => {}) : undefined; // No JSON: no cart.
  };

  window.fetch = function (this: unknown, ...request: Parameters<typeof fetch>) {
    const answered = plainFetch.apply(window, request);
    safe(() => {
      const use = wanted(request[0] instanceof Request ? request[0].url : "" + request[0]);
      if (use) answered.then((answer) => answer.ok && use(copyOf(answer)), () => {});
    })();
    return answered;
  };

  const { open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (this: XMLHttpRequest, ...given: any[]) {
    safe(() => {
      const use = wanted("" + given[1]);
      if (use) on(this, "load", () => this.status < 300 && use(() => (this.responseType === "json" ? this.response : JSON.parse(this.responseText))));
    })();
    return open.apply(this, given as Parameters<typeof open>);
  } as typeof open;
}

function copyOf(answer: Response): () => unknown {
  const copy = answer.clone();
  return () => copy.json();
}

function hits(wanted: string | RegExp, address: string): boolean {
  return typeof wanted === "string" ? address.includes(wanted) : wanted.test(address);
}

function picked(answer: unknown, { line, ...cart }: NonNullable<CartEndpoint["paths"]>): Cart | undefined {
  const found = each(answer, cart) as unknown as Cart;
  if (!Array.isArray(found.lines)) return undefined;
  return { ...found, lines: found.lines.map((one) => each(one, line) as unknown as Line) };
}

/** The fields that are there, by dotted paths. */
function each(from: unknown, paths: Partial<Record<string, string>>): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const name in paths) {
    const value = paths[name]!.split(".").reduce<any>((inner, step) => inner?.[step], from);
    if (value != null) found[name] = value;
  }
  return found;
}

function major(hundredths: number): string {
  return (hundredths / 100).toFixed(2);
}
