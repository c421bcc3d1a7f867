import type { Guard } from "./guard";
import type { Contact } from "./types";

const SETTLED_MS = 600;
const NEVER = /pass|card|cvv|cvc|iban|account|ssn|otp|one-time|secur|cc-|birth|zip|post/;
const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]{2,}$/;

/** Reads e-mail and telephone once a field is left or its form sent, while `may` says so. */
export function contacts(may: () => boolean, found: (contact: Contact) => void, { on, safe }: Guard): void {
  let known: Contact = {};
  let next: Contact = {};
  let timer: ReturnType<typeof setTimeout> | undefined;

  const tell = safe(() => {
    clearTimeout(timer);
    const contact = next;
    next = {};
    if (!may() || !(contact.email || contact.phone)) return;
    known = { ...known, ...contact };
    found(contact);
  });

  function read(field: unknown): void {
    const value = may() && field instanceof HTMLInputElement && contactIn(field);
    if (!value) return;
    for (const kind of ["email", "phone"] as const) if (value[kind] && value[kind] !== known[kind]) next[kind] = value[kind]!;
    clearTimeout(timer);
    timer = setTimeout(tell, SETTLED_MS);
  }

  on(document, "focusout change", ({ target }) => read(target));
  on(document, "submit", ({ target }: { target: HTMLFormElement }) => {
    [...target.querySelectorAll("input")].forEach(read);
    tell();
  });
  on(window, "pagehide", tell);
}

/** The address in a field that asks for one; never of a field that might hold a password, a card or a code. */
function contactIn(field: HTMLInputElement): Contact | undefined {
  const { type, autocomplete, name, id, placeholder } = field;
  const hints = [autocomplete, name, id, placeholder, field.getAttribute("aria-label")].join(" ").toLowerCase();
  const value = field.value.trim();
  if (!/^(text|email|tel)$/.test(type) || NEVER.test(hints) || field.closest("[data-trolleybus-ignore]")) return undefined;
  if (type === "email" || /e-?mail/.test(hints)) return EMAIL.test(value) ? { email: value } : undefined;
  if (type !== "tel" && !/phone|mobile|\btel/.test(hints)) return undefined;
  const digits = value.replace(/\D/g, "").length;
  return /^\+?[\d\s()./-]+$/.test(value) && digits > 6 && digits < (value[0] === "+" ? 16 : 13) ? { phone: value } : undefined;
}
