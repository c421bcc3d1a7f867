"""The browser SDK in Chromium: on a small shop's pages, with the real gateway; what stands on the topics."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, Route

from tests.browser_fixtures import Watched
from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, running, world
from tests.integration.sdk_shop import SHOPPER, Storefront, storefront
from trolleybus.contracts.customers import CustomerUpdated

MUG = {"product_id": "mug", "variant_id": "blue", "name": "Blue mug", "quantity": 2, "unit_price": "12.50"}
LINE = (
    '<p data-trolleybus="line" data-product-id="mug" data-quantity="2" data-unit-price="12.50" data-url="/mug">Mug</p>'
)
STORED = "() => Object.keys(localStorage).concat(Object.keys(sessionStorage), document.cookie || [])"
IS_EMPTY = "() => !(JSON.parse(localStorage['trolleybus:queue'] || '[]').length)"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(env: dict[str, str], tmp_path_factory: Any) -> AsyncIterator[Ingest]:
    log: Path = tmp_path_factory.mktemp("sdk") / "log"
    async with world(env, f"ingest-sdk-{uuid.uuid4().hex[:6]}.") as around, running(around, log) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def front(gateway: Ingest) -> AsyncIterator[Storefront]:
    async with storefront(gateway, f"shop-{uuid.uuid4().hex[:8]}") as front:
        front.setup({})
        front.page("/")
        yield front


async def call(page: Page, name: str, *given: Any) -> Any:
    return await page.evaluate("([name, given]) => trolleybus[name](...given)", [name, list(given)])


def events_asked(page: Page) -> list[str]:
    """Addresses below /api/ that the page asks from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/" in request.url else None)
    return asked


async def test_what_a_page_calls_stands_on_the_topics(front: Storefront, watched: Watched) -> None:
    page = watched.page
    await front.open(page)
    await call(page, "setCart", {"cart_id": "c1", "lines": [{**MUG, "url": "/mug"}], "currency": "EUR"})
    await call(page, "addItem", {"product_id": "pen", "quantity": 1})
    await call(page, "setItem", {"product_id": "pen", "quantity": 4})
    await call(page, "removeItem", {"product_id": "pen"})
    await call(page, "view", "cup")
    await call(page, "checkoutStep", "shipping")
    await call(page, "contact", {"email": SHOPPER})
    await call(page, "clearCart")
    await call(page, "identify", {"customer_id": "u1", "email": SHOPPER, "first_name": "Sam"})
    found = await front.activity(8)
    expected = "snapshot lines_added lines_set lines_removed product_viewed checkout_step contact_captured cart_emptied"
    assert sorted(one.kind for one in found) == sorted(expected.split())
    assert {one.cart_id for one in found} == {"c1"}
    assert {one.anonymous_id for one in found} == {await call(page, "anonymousId")}
    assert len({one.session_id for one in found}) == 1
    assert {(one.device, one.locale) for one in found} == {("desktop", "en-US")}
    (snapshot,) = (one for one in found if one.kind == "snapshot")
    assert snapshot.lines[0].url == f"{front.url}/mug"
    assert (snapshot.lines[0].unit_price.minor, snapshot.lines[0].quantity) == (1250, 2)

    async def identified() -> bool:
        told = await front.gateway.records("customer.updates", front.shop.store_id)
        return any(isinstance(one, CustomerUpdated) and one.first_name == "Sam" for one in told)

    await eventually(identified)


async def test_calls_from_before_the_script_wait_for_it(front: Storefront, watched: Watched) -> None:
    front.setup(None, f'trolleybus.push(["setCart", {{cart_id: "early", lines: [{MUG}]}}]);')
    front.page("/", attributes=f'data-key="{front.shop.write_key}"')
    await front.open(watched.page)
    (early,) = await front.activity(1)
    assert (early.cart_id, early.kind) == ("early", "snapshot")
    assert await watched.page.evaluate("Object.keys(window).filter((name) => /trolley/i.test(name))") == ["trolleybus"]


async def test_carts_products_and_buttons_are_read_from_the_pages_attributes(
    front: Storefront, watched: Watched
) -> None:
    page = watched.page
    front.page(
        "/",
        f'<main data-trolleybus="product" data-product-id="cup"></main>'
        f'<div id="cart" data-trolleybus="cart" data-cart-id="c2" data-currency="EUR">{LINE}</div>'
        '<button data-trolleybus="add" data-product-id="pen" data-unit-price="3"><b>Add</b></button>',
    )
    await front.open(page)
    found = await front.activity(2)
    assert {one.kind: one.product_id for one in found} == {"snapshot": "", "product_viewed": "cup"}
    await page.evaluate("document.querySelector('[data-trolleybus=line]').setAttribute('data-quantity', '5')")
    await front.activity(3)
    await page.click("button b")
    await front.activity(4)
    await page.evaluate("document.querySelector('#cart').replaceChildren()")
    found = await front.activity(5)
    told = [(one.kind, [(line.product_id, line.quantity) for line in one.lines]) for one in found[2:]]
    assert told == [("snapshot", [("mug", 5)]), ("lines_added", [("pen", 1)]), ("snapshot", [])]


async def test_an_empty_cart_that_never_held_anything_is_no_news(front: Storefront, watched: Watched) -> None:
    front.page("/", '<div data-trolleybus="cart" data-cart-id="c2"></div>')
    await front.open(watched.page)
    await call(watched.page, "view", "cup")
    (only,) = await front.activity(1)
    assert only.kind == "product_viewed"


SHOPIFY = {
    "token": "tok",
    "currency": "EUR",
    "item_count": 2,
    "cart_level_discount_applications": [{"total_allocated_amount": 100}],
    "items": [
        {
            "key": "11:ab",
            "product_id": 1,
            "variant_id": 11,
            "title": "Mug - Blue",
            "quantity": 2,
            "final_price": 1250,
            "url": "/products/mug?variant=11",
            "image": "https://cdn.example.com/mug.png",
            "product_type": "Cups",
            "vendor": "Potter",
        }
    ],
}


async def test_the_cart_is_read_where_the_page_asks_shopify_for_it(front: Storefront, watched: Watched) -> None:
    page = watched.page
    front.setup({"cartEndpoint": "shopify"})
    front.json("/cart.js", SHOPIFY)
    front.json("/cart/add.js", SHOPIFY["items"])
    await front.open(page)
    answer = await page.evaluate("fetch('/cart/add.js', {method: 'POST'}).then((answer) => answer.json())")
    assert answer == SHOPIFY["items"], "the page has its answer as ever"
    (cart,) = await front.activity(1)
    (line,) = cart.lines
    assert (cart.kind, cart.cart_id, cart.currency, cart.discount.minor) == ("snapshot", "tok", "EUR", 100)
    assert (line.product_id, line.variant_id, line.line_id, line.quantity) == ("1", "11", "11:ab", 2)
    assert (line.unit_price.minor, line.brand, line.url) == (1250, "Potter", f"{front.url}/products/mug?variant=11")
    front.json("/cart/change.js", {**SHOPIFY, "items": []})
    change = "fetch(new Request('/cart/change.js', {method: 'POST'})).then((answer) => answer.json())"
    assert (await page.evaluate(change))["items"] == []
    assert [one.lines for one in (await front.activity(2))[1:]] == [()]


async def test_the_cart_is_read_from_the_shops_own_endpoint_by_paths_or_by_a_function(
    front: Storefront, watched: Watched
) -> None:
    page = watched.page
    line = {"product_id": "sku", "quantity": "count", "unit_price": "price.gross"}
    paths = {"cart_id": "basket.id", "lines": "basket.rows", "line": line}
    front.setup({"cartEndpoint": {"url": "/api/basket", "paths": paths}})
    front.json("/api/basket", {"basket": {"id": 7, "rows": [{"sku": "mug", "count": 1, "price": {"gross": 9.9}}]}})
    front.answers["/api/basket/html"] = ("text/html", "<p>No JSON</p>")
    await front.open(page)
    get = """(path) => new Promise((done) => {
      const request = new XMLHttpRequest();
      request.onload = () => done(request.responseText);
      request.open("GET", path);
      request.send();
    })"""
    assert await page.evaluate(get, "/api/basket/html") == "<p>No JSON</p>"
    await page.evaluate(get, "/api/basket")
    (cart,) = await front.activity(1)
    assert (cart.cart_id, [(one.product_id, one.unit_price.minor) for one in cart.lines]) == ("7", [("mug", 990)])

    mapped = (
        "{url: /basket$/, map: (answer) => ({cart_id: 'mapped', lines: [{product_id: answer.basket.rows[0].sku}]})}"
    )
    front.setup({}, f"window.callbacks = {{cartEndpoint: {mapped}}};")
    await front.open(page)
    await page.evaluate("fetch('/api/basket')")
    assert {one.cart_id for one in await front.activity(2)} == {"7", "mapped"}


FORM = """<form action="/thanks" method="post">
  <input id="mail" type="email" name="email"> <input id="phone" type="tel" autocomplete="tel">
  <input id="card" type="tel" name="cardnumber"> <input id="cvc" type="text" autocomplete="cc-csc" name="phone2">
  <input id="pass" type="password" name="email_password"> <input id="hushed" data-trolleybus-ignore name="email2">
  <button>Send</button></form>"""
SECRETS = {"#card": "501800000009", "#cvc": "1234567", "#pass": "secret@example.com", "#hushed": "own@example.com"}


async def test_a_contact_is_captured_from_a_form_with_switch_and_consent_only(
    front: Storefront, watched: Watched
) -> None:
    page = watched.page
    front.page("/", FORM)
    front.page("/thanks", sdk=False)
    for options in ({"consent": "granted"}, {"captureContacts": True}, {"captureContacts": True, "consent": "denied"}):
        front.setup(options)
        await front.open(page)
        await page.fill("#mail", "never@example.com")
        await page.press("#mail", "Enter")
        await page.wait_for_url("**/thanks")
    front.setup({"captureContacts": True, "consent": "unknown"})
    await front.open(page)
    await page.fill("#mail", "before@example.com")
    await page.focus("#phone")
    await call(page, "consent", "granted")
    await page.fill("#phone", "+34 600 000 000")
    await page.fill("#mail", SHOPPER)
    for field, value in SECRETS.items():
        await page.fill(field, value)
    await page.focus("#phone")
    (captured,) = await front.activity(1)
    assert (captured.kind, captured.email, captured.phone) == ("contact_captured", SHOPPER, "+34600000000")


async def test_a_contact_is_captured_though_the_form_leads_away_at_once(front: Storefront, watched: Watched) -> None:
    page = watched.page
    front.page("/", FORM)
    front.page("/thanks", sdk=False)
    front.setup({"captureContacts": True, "consent": "granted"})
    await front.open(page)
    await page.fill("#mail", SHOPPER)
    await page.press("#mail", "Enter")
    (captured,) = await front.activity(1)
    assert captured.email == SHOPPER


async def test_exit_intent_comes_once_a_session(front: Storefront, watched: Watched) -> None:
    page = watched.page
    told = "document.addEventListener('trolleybus:exit', ({detail}) => seen.push(['event', detail]));"
    front.setup(
        {"exitIntent": {"activity": True}},
        told + "window.callbacks = {onExitIntent: (cart) => seen.push(['call', cart.cart_id])};",
    )
    leave = "document.dispatchEvent(new MouseEvent('mouseout', {clientY: -1, relatedTarget: null}))"
    await front.open(page)
    await call(page, "setCart", {"cart_id": "c1", "lines": [MUG]})
    await page.evaluate("document.dispatchEvent(new MouseEvent('mouseout', {clientY: 300, relatedTarget: null}))")
    assert await page.evaluate("seen") == []
    for _ in range(2):
        await page.evaluate(leave)
    seen = await page.evaluate("seen")
    assert [one[0] for one in seen] == ["event", "call"]
    assert (seen[0][1]["cart_id"], seen[1][1]) == ("c1", "c1")
    found = await front.activity(2)
    assert [one.step for one in found] == ["", "exit_intent"]
    await front.open(page)
    await page.evaluate(leave)
    assert await page.evaluate("seen") == []


SCROLL_UP_FAST = """async () => {
    const scrolled = (to) => new Promise((done) => {
        addEventListener("scroll", done, {once: true});
        scrollTo(0, to);
    });
    for (let tries = 0; tries < 200 && !seen.length; tries++) {  // On a slow machine one of them is slow.
        await scrolled(5000);
        await scrolled(4500);
    }
}"""


async def test_a_telephone_shows_exit_intent_by_a_fast_scroll_up_or_by_going_back(
    front: Storefront, browser_context: BrowserContext
) -> None:
    browser = browser_context.browser
    assert browser is not None
    phone = await browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    try:
        page = await phone.new_page()
        front.page("/", "".join(f"<p>{row}</p>" for row in range(500)))
        told = "window.callbacks = {onExitIntent: () => seen.push('leaves')};"
        front.setup({}, told)
        await front.open(page)
        await page.evaluate(SCROLL_UP_FAST)
        assert await page.evaluate("seen") == ["leaves"]

        await page.evaluate("localStorage.clear()")
        front.setup({"exitIntent": {"back": True}}, told)
        await front.open(page)
        await page.go_back()
        await page.wait_for_function("() => seen.length === 1")
    finally:
        await phone.close()


async def test_our_link_restores_a_cart_with_its_lines_where_they_were_seen(
    front: Storefront, watched: Watched, browser_context: BrowserContext
) -> None:
    page = watched.page
    front.setup({}, "window.callbacks = {onRestore: (cart) => seen.push(cart)};")
    await front.open(page)
    await call(page, "setCart", {"cart_id": "c 9", "lines": [MUG]})
    await front.open(page, "/?trolleybus_cart=c%209")
    assert await page.evaluate("seen") == [{"cart_id": "c 9", "lines": [MUG]}]

    browser = browser_context.browser
    assert browser is not None
    other = await browser.new_context()
    try:
        elsewhere = await other.new_page()
        await front.open(elsewhere, "/?trolleybus_cart=c%209")
        assert await elsewhere.evaluate("seen") == [{"cart_id": "c 9"}]
        await call(elsewhere, "checkoutStep", "started")
        found = await front.activity(2)
        assert [(one.kind, one.cart_id) for one in found] == [("snapshot", "c 9"), ("checkout_step", "c 9")]
        assert len({one.anonymous_id for one in found}) == 2
    finally:
        await other.close()


@pytest.mark.parametrize("named", [{"cart_id": "mine"}, {}])
async def test_a_restore_link_does_not_take_a_visitor_from_the_cart_they_have(
    front: Storefront, watched: Watched, named: dict[str, str]
) -> None:
    await front.open(watched.page)
    await call(watched.page, "setCart", {**named, "lines": [MUG]})
    await front.open(watched.page, "/?trolleybus_cart=anothers")
    await call(watched.page, "checkoutStep", "started")
    first, second = await front.activity(2)
    assert first.cart_id == second.cart_id != "anothers"


async def test_P1_what_happens_offline_arrives_once_when_the_network_is_back(
    front: Storefront, watched: Watched, browser_context: BrowserContext
) -> None:
    page = watched.page
    await page.clock.install()
    await front.open(page)
    await call(page, "view", "before")
    await front.activity(1)
    await browser_context.set_offline(True)
    for number in range(60):
        await call(page, "view", f"p{number}")
    await page.clock.run_for(5_000)  # Every attempt that was planned is over.
    await browser_context.set_offline(False)
    found = await front.activity(61)
    assert {one.product_id for one in found} == {"before", *(f"p{number}" for number in range(60))}
    await page.wait_for_function(IS_EMPTY)
    every = await front.gateway.records("cart.activity", front.shop.store_id)
    assert len(every) == 61, "each was sent once"


async def test_P1_what_happened_offline_is_sent_by_the_next_page(
    front: Storefront, watched: Watched, browser_context: BrowserContext
) -> None:
    await front.open(watched.page)
    await browser_context.set_offline(True)
    await call(watched.page, "view", "cup")
    await watched.page.close()
    await browser_context.set_offline(False)
    await front.open(await browser_context.new_page())
    (found,) = await front.activity(1)
    assert found.product_id == "cup"


async def test_an_add_right_before_the_page_is_left_or_closed_arrives(
    front: Storefront, watched: Watched, browser_context: BrowserContext
) -> None:
    page = watched.page
    front.page("/elsewhere", sdk=False)
    await front.open(page)
    await page.evaluate("(line) => { trolleybus.addItem(line, {cart_id: 'left'}); location.href = '/elsewhere'; }", MUG)
    await front.activity(1)
    closing = await browser_context.new_page()
    await front.open(closing)
    await closing.evaluate("(line) => { trolleybus.addItem(line, {cart_id: 'closed'}); }", MUG)
    await closing.close()
    # The page before this one heard no answer: its event went again, with the same id.
    assert {one.cart_id for one in await front.activity(2)} == {"left", "closed"}


async def test_what_waits_behind_a_request_that_hangs_goes_by_beacon(front: Storefront, watched: Watched) -> None:
    page = watched.page
    hanging: list[Route] = []

    async def first_hangs(route: Route) -> None:
        if hanging:
            await route.continue_()
        else:
            hanging.append(route)

    front.page("/elsewhere", sdk=False)
    await front.open(page)
    await page.route("**/api/v1/carts/track*", first_hangs)
    await call(page, "view", "hangs")

    async def is_hanging() -> bool:
        return bool(hanging)

    await eventually(is_hanging)
    await call(page, "view", "waits")
    await page.goto(f"{front.url}/elsewhere")
    (arrived,) = await front.activity(1)
    assert arrived.product_id == "waits"


async def test_a_gateway_that_is_behind_is_asked_again_when_it_said(front: Storefront, watched: Watched) -> None:
    page = watched.page
    answered: list[float] = []

    async def behind(route: Route) -> None:
        answered.append(await page.evaluate("performance.now()"))
        if len(answered) > 1:
            await route.continue_()
            return
        headers = {
            "retry-after": "3",
            "access-control-allow-origin": front.url,
            "access-control-expose-headers": "Retry-After",
        }
        await route.fulfill(status=503, headers=headers)

    await front.open(page)
    await page.route("**/api/v1/carts/track*", behind)
    await call(page, "view", "cup")
    await front.activity(1)
    assert answered[1] - answered[0] > 2900


async def test_without_consent_nothing_is_stored_or_sent(front: Storefront, watched: Watched) -> None:
    page = watched.page
    front.page("/", f'{FORM}<div data-trolleybus="cart">{LINE}</div>')
    for consent in ("denied", "unknown"):
        front.setup({"consent": consent, "captureContacts": True})
        asked = events_asked(page)
        await front.open(page)
        await call(page, "setCart", {"cart_id": "c1", "lines": [MUG]})
        await call(page, "identify", {"customer_id": "u1"})
        await page.fill("#mail", SHOPPER)
        await page.focus("#phone")
        await page.evaluate("dispatchEvent(new Event('pagehide'))")
        await call(page, "flush")
        assert await page.evaluate(STORED) == []
        assert asked == []
    await call(page, "consent", "granted")
    assert [one.kind for one in await front.activity(2)] == ["snapshot", "snapshot"], "the called and the shown cart"
    assert "trolleybus:visitor" in await page.evaluate(STORED)
    front.setup({"consent": "unknown"})
    await front.open(page)
    anonymous = await call(page, "anonymousId")
    await call(page, "view", "cup")
    found = await front.activity(4)  # What was granted is remembered.
    assert {one.anonymous_id for one in found} == {anonymous}
    await page.wait_for_function(IS_EMPTY)
    await call(page, "consent", "denied")
    assert await page.evaluate(STORED) == []


async def test_what_happened_while_denied_is_never_told(front: Storefront, watched: Watched) -> None:
    page = watched.page
    front.setup({"consent": "denied"})
    await front.open(page)
    await call(page, "view", "denied")
    await call(page, "consent", "granted")
    await call(page, "view", "granted")
    (only,) = await front.activity(1)
    assert only.product_id == "granted"


async def test_another_login_or_a_logout_parts_from_the_old_cart(front: Storefront, watched: Watched) -> None:
    page = watched.page
    await front.open(page)
    await call(page, "setCart", {"cart_id": "first", "lines": [MUG]})
    before = await call(page, "anonymousId")
    await call(page, "identify", {"customer_id": "u1"})
    assert await call(page, "anonymousId") == before
    await call(page, "identify", {"customer_id": "u2"})
    after = await call(page, "anonymousId")
    await call(page, "setCart", {"cart_id": "second", "lines": [MUG]})
    await call(page, "reset")
    await call(page, "view", "cup")
    found = {one.kind + one.cart_id[:6]: one for one in await front.activity(3)}
    assert found["snapshotfirst"].anonymous_id == before
    assert (found["snapshotsecond"].customer_id, found["snapshotsecond"].anonymous_id) == ("u2", after)
    last = await call(page, "anonymousId")
    assert len({before, after, last}) == 3
    assert next(one for kind, one in found.items() if kind.startswith("product")).anonymous_id == last


async def test_half_an_hour_of_silence_begins_a_new_session(front: Storefront, watched: Watched) -> None:
    page = watched.page
    await page.clock.install()
    await front.open(page)
    await call(page, "view", "a")
    await front.activity(1)
    await page.clock.fast_forward("29:00")
    await call(page, "view", "b")
    await front.activity(2)
    await page.clock.fast_forward("31:00")
    await call(page, "view", "c")
    sessions = {one.product_id: one.session_id for one in await front.activity(3)}
    assert sessions["a"] == sessions["b"] != sessions["c"]


async def test_no_mistake_reaches_the_page(front: Storefront, watched: Watched) -> None:
    page = watched.page
    warned: list[str] = []
    page.on("console", lambda message: warned.append(message.text) if message.type == "warning" else None)
    throwing = "() => { throw new Error('of the page') }"
    callbacks = f"onError: (error) => seen.push(error.message), cartEndpoint: {{url: 'any', map: {throwing}}}"
    front.setup({}, f"window.callbacks = {{{callbacks}}};")
    front.json("/any", {})
    await front.open(page)
    await call(page, "setCart", None)
    await call(page, "setCart", {"lines": [{"product_id": "mug", "quantity": -1}]})
    await page.evaluate("trolleybus.push(['order', {}]); trolleybus.push(7); trolleybus.init({}); fetch('/any')")
    await page.wait_for_function("() => seen.some((message) => message.startsWith('refused'))")
    seen = await page.evaluate("seen")
    assert any("orders are sent by the shop's server" in message for message in seen)
    assert any("of the page" in message for message in seen)
    assert len(warned) == 1
    front.setup({"key": "tbs_secret"}, "window.callbacks = {onError: (error) => seen.push(error.message)};")
    await front.open(page)
    await page.wait_for_function("() => /write key/.test(seen[0])")


async def test_the_gateway_serves_the_sdk_to_any_page(gateway: Ingest) -> None:
    answer = await gateway.get("/sdk/v1/trolleybus.js")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "max-age=3600" in answer.headers["cache-control"]
    assert (await gateway.get(answer.headers["content-location"])).content == answer.content
