/** A line of a cart, with the names of the gateway's API. Prices in major units, as displayed. */
export interface Line {
  product_id: string;
  variant_id?: string;
  line_id?: string;
  name?: string;
  quantity?: number;
  unit_price?: number | string;
  discount?: number | string;
  url?: string;
  image_url?: string;
  category?: string;
  brand?: string;
}

/** A whole cart. Without `cart_id` it is the shopper's open cart; without `currency`, in the store's. */
export interface Cart {
  lines: Line[];
  cart_id?: string;
  currency?: string;
  discount?: number | string;
  cart_url?: string;
}

/** What a change of lines may say beside them. */
export type CartOf = Omit<Cart, "lines" | "discount">;

export interface Contact {
  email?: string;
  phone?: string;
}

/** Who the shopper is, by the shop's own knowledge. */
export interface Person extends Contact {
  customer_id?: string;
  first_name?: string;
  last_name?: string;
  properties?: Record<string, string | number | boolean>;
  consent?: {
    channel: "email" | "sms" | "push" | "whatsapp";
    state: "granted" | "revoked";
    address?: string;
    evidence?: string;
  }[];
}

export type Consent = "granted" | "denied" | "unknown";

/** Where the shop's pages ask for their cart, and how its answers are read. */
export interface CartEndpoint {
  /** A part of the address, or a pattern. */
  url: string | RegExp;
  /** The cart in an answer; nothing where it holds none. */
  map?: (answer: unknown) => Cart | undefined;
  /** Instead of `map`: dotted paths into an answer, and below each line. */
  paths?: { lines: string; line: Partial<Record<keyof Line, string>> } & Partial<Record<keyof CartOf, string>>;
  /** Answers that are no cart but change it, and where the cart is then read. */
  changes?: { url: string | RegExp; read: string };
}

export interface ExitIntent {
  /** Also when a shopper on a telephone goes back: adds one entry to the page's history. */
  back?: boolean;
  /** Also tell the gateway, as a checkout step named exit_intent. */
  activity?: boolean;
}

export interface Options {
  /** The store's write key (tbw_…). */
  key: string;
  /** The gateway; where the script came from if absent. */
  host?: string;
  /** Consent mode: nothing is stored or sent unless granted. Absent: the page asks nobody. */
  consent?: Consent;
  /** Read e-mail and telephone from forms before they are sent; only with consent granted. */
  captureContacts?: boolean;
  /** "shopify", or the shop's own. */
  cartEndpoint?: "shopify" | CartEndpoint;
  /** Read data-trolleybus attributes; true if absent. */
  observePage?: boolean;
  exitIntent?: boolean | ExitIntent;
  onExitIntent?: (cart: Cart | undefined) => void;
  /** The parameter of the restore link; trolleybus_cart if absent. */
  restoreParameter?: string;
  /** `lines` where this browser has seen that cart. */
  onRestore?: (cart: Partial<Cart> & { cart_id: string }) => void;
  onError?: (error: Error) => void;
}
