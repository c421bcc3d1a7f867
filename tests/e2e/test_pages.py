"""The pages of a running line, as a store owner and an operator meet them in a browser."""

from __future__ import annotations

import re

import pytest

from tests.browser_fixtures import Watched
from tests.e2e.line import Line, eventually
from tests.e2e.test_whole_line import cart_event
from tools.demo.shop import Shop

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]


async def reminded_shop(line: Line) -> Shop:
    """A store whose one shopper was written to, and bought after it."""
    shop, storefront = await line.open_shop("Corner shop", levels=[3], holdout_share=0.0)
    person = {"customer_id": "C1", "email": "one@example.com"}
    consent = [{"channel": "email", "state": "granted", "by": "person", "evidence": "checkout box"}]
    for path, body in (
        ("customers", {"event_id": "word", **person, "consent": consent}),
        ("carts/track", cart_event("cart-page", **person)),
    ):
        answer = await line.post(storefront, path, body)
        assert answer.status_code == 202, answer.text

    async def delivered() -> bool:
        return (await shop.figures()).delivered >= 1

    await eventually(delivered, "the reminder is delivered")
    order = {"order_id": "O1", "cart_id": "cart-page", **person, "total": "24.90"}
    assert (await line.post(storefront, "orders", order)).status_code == 202
    return shop


async def test_a_link_signs_in_once_and_leads_through_every_page(line: Line, watched: Watched) -> None:
    page = watched.page
    shop = await reminded_shop(line)
    answer = await page.goto(shop.dashboard)
    assert answer is not None
    assert answer.status == 401
    assert "trolleybus sign-in" in await page.inner_text("main")

    link = await shop.sign_in_link()
    await page.goto(link)
    assert await page.inner_text("h1") == "Corner shop"
    await page.wait_for_selector("#figures canvas")
    await page.wait_for_function("document.querySelector('#connection').textContent === 'live'")
    await page.wait_for_function("/recovered/i.test(document.querySelector('#said').textContent)")
    await page.wait_for_function("document.querySelector('#figures').textContent.includes('€24.90')")

    await page.click("nav >> text=Inbox")
    await page.fill("main input[name='store']", shop.store_id)  # Other tests' shops have mail there too.
    await page.click("main button:has-text('Search')")
    await page.click(f"main tr:has-text('{shop.store_id}') a[href^='/inbox/']")
    mail = page.frame_locator("iframe.mail-body")
    assert "Oak desk lamp" in await mail.locator("body").inner_text()
    await page.click("summary:has-text('Headers')")
    assert "List-Unsubscribe-Post" in await page.inner_text("main")

    await page.click("nav >> text=Stores")
    await page.click("text=Corner shop")
    await page.click("main a[href*='/campaigns/']")
    assert "ordered" in await page.inner_text("main")
    for service in ("INGEST_URL", "CAMPAIGNS_URL", "MESSAGING_URL", "ANALYTICS_URL"):
        await page.goto(f"{line.env[service]}/docs")
        assert await page.locator("details.operation").count() > 0

    again = await page.context.browser.new_context()  # type: ignore[union-attr]
    try:
        second = await (await again.new_page()).goto(link)
        assert second is not None
        assert second.status == 401
    finally:
        await again.close()


async def test_a_recipient_unsubscribes_with_two_clicks_and_no_session(line: Line, watched: Watched) -> None:
    page = watched.page
    shop = await reminded_shop(line)
    headers = {"Authorization": f"Bearer {line.env['OPERATOR_TOKEN']}"}
    inbox = await line.client.get(
        f"{line.env['MESSAGING_URL']}/api/v1/inbox", params={"store_id": shop.store_id}, headers=headers
    )
    found = re.search(rf"{re.escape(line.env['MESSAGING_URL'])}/u/\S+", inbox.json()["messages"][0]["text"])
    assert found is not None
    await page.goto(found.group())
    log = await line.topics(shop.store_id)
    assert not any(seen.kind == "MessageUnsubscribed" for seen in log), "looking changes nothing"
    await page.click("main button")
    await page.wait_for_selector("main >> text=/unsubscribed/i")

    async def told() -> bool:
        log = await line.topics(shop.store_id)
        revoked = any(seen.kind == "ConsentChanged" and seen.values["state"] == "revoked" for seen in log)
        return revoked and any(seen.kind == "MessageUnsubscribed" for seen in log)

    await eventually(told, "consent and recovery.messages tell of it")
