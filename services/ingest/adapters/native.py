"""The native source: carts, orders and customers as Trolleybus itself names them."""

from services.ingest.adapters.draft import Draft, Named
from services.ingest.adapters.seam import Arrival
from services.ingest.api.payloads import CartEvent, Consent, Customer, Event, Line, Order
from services.ingest.domain import marks, plain
from services.ingest.domain.clock import YEAR_MS, corrected_time, event_time
from services.ingest.domain.translation import Canonical, Flaw, Translation
from trolleybus.contracts import ids
from trolleybus.contracts.cart import CartActivity, CartLine
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerUpdated
from trolleybus.contracts.identity import BadIdentity, normalise
from trolleybus.contracts.money import LARGEST_MINOR
from trolleybus.contracts.orders import OrderChanged, OrderPlaced

SOURCE = "native"

KINDS = {
    "product_viewed": "product_viewed",
    "cart_updated": "snapshot",
    "item_added": "lines_added",
    "item_removed": "lines_removed",
    "item_set": "lines_set",
    "cart_emptied": "cart_emptied",
    "checkout_step": "checkout_step",
    "contact_captured": "contact_captured",
}
_CHANGES = {"order_paid": "paid", "order_refunded": "refunded", "order_cancelled": "cancelled"}
_ADDRESS_KINDS = {"email": "email", "sms": "phone", "whatsapp": "phone", "push": "device"}


def cart_event(event: CartEvent, arrival: Arrival) -> Translation:
    """CartActivity, and what the event tells of its shopper."""
    draft = _draft("carts", event, arrival, event.cart_id)
    draft.require_repeatable()
    _require_parts(event, draft)
    currency = draft.currency(event.currency)
    lines, kind = _lines_of(event, draft, currency)
    incomplete: tuple[str, ...] = ()
    if not draft.key and event.session_id:
        draft.key = f"session:{event.session_id}"
        incomplete = draft.wanted_marks(marks.INCOMPLETE)
    draft.require(draft.key, "/cart_id", "name the cart, or its shopper by customer_id, anonymous_id, email or phone")
    discount = draft.money("/discount", event.discount, currency)
    cart_url = draft.soft("/cart_url", event.cart_url, draft.shop_address)
    draft.refuse_flawed()
    occurred_at = event_time(event.occurred_at, draft.sent_at, arrival.received_at, arrival.received_at - YEAR_MS)
    activity = CartActivity(
        **draft.stamp("CartActivity", occurred_at),
        config_version=arrival.store.version,
        marks=(*draft.marks(event.user_agent), *incomplete),
        kind=kind,
        cart_id=event.cart_id,
        anonymous_id=event.anonymous_id,
        session_id=event.session_id,
        device=event.device,
        email=draft.email,
        phone=draft.phone,
        currency=currency,
        lines=lines,
        discount=discount,
        step=event.step,
        product_id=event.product_id,
        cart_url=cart_url,
        **draft.place,
    )
    reason = "checkout" if event.event in {"contact_captured", "checkout_step"} else "login"
    return draft.translation(event.event, (*draft.person_records(occurred_at, reason), activity))


def order(event: Order, arrival: Arrival) -> Translation:
    """OrderPlaced and the CartActivity that ends its cart; or OrderChanged."""
    draft = _draft("orders", event, arrival, event.cart_id)
    occurred_at = event_time(event.occurred_at, draft.sent_at, arrival.received_at)
    records = (
        _placed(event, draft, occurred_at) if event.event == "order_placed" else _changed(event, draft, occurred_at)
    )
    draft.refuse_flawed()
    return draft.translation(event.event, records)


def customer(event: Customer, arrival: Arrival) -> Translation:
    """CustomerUpdated, IdentitiesLinked under the key of each identity, ConsentChanged for each word."""
    draft = _draft("customers", event, arrival, "")
    draft.require_repeatable()
    draft.flaws += draft.left_out  # What other events can do without is what this one is about.
    draft.require(draft.key, "/customer_id", "name the customer by customer_id, anonymous_id, email or phone")
    words = [_consent(word, event, draft, index) for index, word in enumerate(event.consent)]
    draft.refuse_flawed()
    occurred_at = event_time(event.occurred_at, draft.sent_at, arrival.received_at)
    updated = CustomerUpdated(
        **draft.stamp("CustomerUpdated", occurred_at),
        anonymous_id=event.anonymous_id,
        email=draft.email,
        phone=draft.phone,
        first_name=event.first_name,
        last_name=event.last_name,
        properties=event.properties,
        removed=event.removed,
        **draft.place,
    )
    return draft.translation("customer_updated", (updated, *draft.links(occurred_at, "identify"), *words))


def _draft(channel: str, event: Event, arrival: Arrival, cart_id: str) -> Draft:
    named = Named(
        channel=channel,
        own_id=event.event_id,
        occurred_at=event.occurred_at,
        sent_at=event.sent_at,
        customer_id=event.customer_id,
        anonymous_id=event.anonymous_id,
        email=event.email,
        phone=event.phone,
        locale=event.locale,
        country=event.country,
        time_zone=event.time_zone,
        cart_id=cart_id,
    )
    return Draft(SOURCE, named, arrival)


def _placed(event: Order, draft: Draft, occurred_at: int) -> list[Canonical]:
    currency = draft.currency(event.currency)
    total = draft.money("/total", event.total, currency)
    placed = OrderPlaced(
        **draft.stamp("OrderPlaced", occurred_at),
        order_id=event.order_id,
        cart_id=event.cart_id,
        total=total,
        discount=draft.money("/discount", event.discount, currency),
        shipping=draft.money("/shipping", event.shipping, currency),
        tax=draft.money("/tax", event.tax, currency),
        lines=tuple(_line(line, draft, index, currency) for index, line in enumerate(event.lines)),
        coupons=event.coupons,
        **draft.place,
    )
    records: list[Canonical] = [placed, *draft.person_records(occurred_at, "checkout")]
    if draft.key:
        ended = CartActivity(
            **draft.stamp("CartActivity", occurred_at),
            config_version=draft.arrival.store.version,
            kind="order_placed",
            cart_id=event.cart_id,
            anonymous_id=event.anonymous_id,
            email=draft.email,
            phone=draft.phone,
            currency=currency,
            order_id=event.order_id,
            total=total,
            **draft.place,
        )
        records.append(ended)
    return records


def _changed(event: Order, draft: Draft, occurred_at: int) -> list[Canonical]:
    draft.require_repeatable()
    changed = OrderChanged(
        **draft.stamp("OrderChanged", occurred_at),
        order_id=event.order_id,
        cart_id=event.cart_id,
        change=_CHANGES[event.event],
        refunded=draft.money("/refunded", event.refunded, draft.currency(event.currency)),
        reason=event.reason,
    )
    return [changed, *draft.person_records(occurred_at, "checkout")]


def _require_parts(event: CartEvent, draft: Draft) -> None:
    """Each kind of event needs its own part."""
    match event.event:
        case "cart_updated":
            draft.require(event.lines is not None, "/lines", "cart_updated carries all lines; [] for an empty cart")
        case "item_added" | "item_removed" | "item_set":
            draft.require(event.lines, "/lines", f"{event.event} names at least one line")
        case "checkout_step":
            draft.require(event.step, "/step", "checkout_step names the step")
        case "product_viewed":
            draft.require(event.product_id, "/product_id", "product_viewed names the product")
        case "contact_captured":
            unread = [flaw for flaw in draft.left_out if flaw.field in {"/email", "/phone"}]
            if unread and not (draft.email or draft.phone):
                draft.flaws += unread
            else:
                draft.require(draft.email or draft.phone, "/email", "contact_captured carries an email or a phone")
        case "cart_emptied":
            pass


def _lines_of(event: CartEvent, draft: Draft, currency: str) -> tuple[tuple[CartLine, ...], str]:
    """The lines, and the kind of activity that they make."""
    given = event.lines or ()
    kind = KINDS[event.event]
    lines = [_line(line, draft, index, currency) for index, line in enumerate(given)]
    if event.event == "item_removed":
        counted = [line.quantity is not None for line in given]
        if given and any(counted):
            if not all(counted):
                draft.flaws.append(Flaw("/lines", "give a quantity on every line of item_removed, or on none"))
            return tuple(_taken_out(line) for line in lines), "lines_added"
    if event.event == "item_added":
        for index, line in enumerate(lines):
            draft.require(line.quantity, f"/lines/{index}/quantity", "item_added adds at least one piece")
    return tuple(lines), kind


def _taken_out(line: CartLine) -> CartLine:
    """As the difference that it makes."""
    return CartLine(
        line_id=line.line_id, product_id=line.product_id, variant_id=line.variant_id, quantity=-line.quantity
    )


def _line(line: Line, draft: Draft, index: int, currency: str) -> CartLine:
    at = f"/lines/{index}"
    quantity = 1 if line.quantity is None else line.quantity
    price, was_rounded = draft.rounded(f"{at}/unit_price", line.unit_price, currency)
    if price.minor * quantity > LARGEST_MINOR:
        draft.flaws.append(Flaw(f"{at}/quantity", "so many at this price is no amount that can be paid"))
    product = f"{line.product_id}:{line.variant_id}" if line.variant_id else line.product_id
    return CartLine(
        line_id=line.line_id or product,
        product_id=line.product_id,
        variant_id=line.variant_id,
        name=line.name,
        quantity=quantity,
        unit_price=price,
        discount=draft.money(f"{at}/discount", line.discount, currency),
        url=draft.soft(f"{at}/url", line.url, draft.shop_address),
        image_url=draft.soft(f"{at}/image_url", line.image_url, plain.web_address),
        category=line.category,
        brand=line.brand,
        price_rounded=was_rounded,
    )


def _consent(word: Consent, event: Customer, draft: Draft, index: int) -> ConsentChanged:
    at = f"/consent/{index}"
    arrival = draft.arrival
    by = word.by or ("person" if arrival.is_public else "shop")
    draft.require(
        by == "person" or not arrival.is_public, f"{at}/by", "only a secret key may speak for the shop or a sync"
    )
    kind = _ADDRESS_KINDS[word.channel]
    known = {"email": draft.email, "phone": draft.phone, "device": ""}[kind]
    address = known
    if word.address:
        try:
            address = normalise(kind, word.address, draft.country)
        except BadIdentity as error:
            draft.flaws.append(Flaw(f"{at}/address", str(error)))
    elif not known:
        draft.flaws.append(Flaw(f"{at}/address", f"name the address that the {word.channel} consent is for"))
    said_at = word.occurred_at if word.occurred_at is not None else event.occurred_at
    if word.state == "revoked":  # An unset clock must not make a no older than the yes before it.
        occurred_at = event_time(said_at, draft.sent_at, arrival.received_at)
    else:
        occurred_at = corrected_time(said_at, draft.sent_at, arrival.received_at)
    return ConsentChanged(
        id=ids.record_of(draft.event_id, "ConsentChanged", index),
        store_id=arrival.store.store_id,
        occurred_at=occurred_at,
        imported=arrival.imported,
        received_at=arrival.received_at,
        source=SOURCE,
        source_event_id=event.event_id or draft.event_id,
        channel=word.channel,
        address_hash=arrival.hasher.hash(arrival.store.store_id, kind, address) if address else "",
        state=word.state,
        by=by,
        evidence=word.evidence,
        customer_id=draft.key,
    )
