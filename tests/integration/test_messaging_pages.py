"""Links in messages, the inbox, the API, as a recipient and an operator meet them."""

import re
from collections.abc import AsyncIterator
from html import unescape
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.eventually import eventually
from tests.integration.messaging_harness import Messaging, World, running, world_around
from trolleybus.contracts.messages import MessageClicked, MessageRequested


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(env: dict[str, str]) -> AsyncIterator[World]:
    async with world_around(env, f"pages{uuid4().hex[:6]}.") as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def messaging(world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Messaging]:
    async with running(world, tmp_path_factory.mktemp("messaging") / "messaging.log", OPEN_PIXEL="true") as process:
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sent(world: World, messaging: Messaging) -> MessageRequested:
    request = world.request("Reader@example.com", subject="Your cart <b>waits</b>\r\nBcc: everybody@example.com")
    await world.send(request)
    await world.reaches(request.message_id, "sent")
    return request


async def _mail(messaging: Messaging, to: str) -> dict[str, object]:
    found = (await messaging.get("/api/v1/inbox", params={"to": to})).json()["messages"]
    assert len(found) == 1
    mail: dict[str, object] = (await messaging.get(f"/api/v1/inbox/{found[0]['id']}")).json()
    assert mail["text"] == found[0]["text"]
    return mail


async def test_a_click_leads_to_the_shop_and_is_told(
    world: World, messaging: Messaging, sent: MessageRequested
) -> None:
    html = str((await _mail(messaging, sent.address))["html"])
    link = unescape(re.findall(r'<a href="([^"]+)"', html)[0])
    assert link.startswith(f"{messaging.url}/c/")
    answer = await messaging.get(link.removeprefix(messaging.url), sign_in=False)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://shop.example.com/cart?a=1&b=2")

    async def told() -> list[str]:
        return [
            one.url for one in await world.told(sent.message_id) if isinstance(one, MessageClicked) and "a=1" in one.url
        ]

    assert "https://shop.example.com/cart?a=1&b=2" in await eventually(told)


async def test_a_restore_link_leads_where_campaigns_signed_it_to(messaging: Messaging, sent: MessageRequested) -> None:
    target = "https://shop.example.com/restore?cart=1"
    token = messaging.signed("restore", {"m": sent.message_id, "u": target})
    answer = await messaging.get(f"/r/{token}", sign_in=False)
    assert (answer.status_code, answer.headers["location"]) == (302, target)


async def test_an_open_is_told_by_the_pixel(world: World, messaging: Messaging, sent: MessageRequested) -> None:
    html = str((await _mail(messaging, sent.address))["html"])
    pixel = unescape(re.findall(r'<img src="([^"]+)"', html)[0])
    answer = await messaging.get(pixel.removeprefix(messaging.url), sign_in=False)
    assert answer.headers["content-type"] == "image/gif"

    async def told() -> bool:
        return "MessageOpened" in await world.kinds(sent.message_id)

    await eventually(told)


@pytest.mark.parametrize("path", ["/u/nonsense", "/r/nonsense", "/c/nonsense"])
async def test_P8_a_link_that_is_not_ours_leads_nowhere_and_says_so(messaging: Messaging, path: str) -> None:
    answer = await messaging.get(path, sign_in=False)
    assert answer.status_code == 404
    assert "This link does not work" in answer.text
    assert "location" not in answer.headers


async def test_P8_a_link_signed_for_another_purpose_or_to_a_script_leads_nowhere(
    messaging: Messaging, sent: MessageRequested
) -> None:
    click = messaging.signed("click", {"m": sent.message_id, "u": "https://shop.example.com"})
    script = messaging.signed("click", {"m": sent.message_id, "u": "javascript:alert(1)"})
    assert (await messaging.get(f"/r/{click}", sign_in=False)).status_code == 404
    assert (await messaging.get(f"/c/{script}", sign_in=False)).status_code == 404
    assert (await messaging.post(f"/u/{click}", sign_in=False)).status_code == 404


async def test_P8_a_subject_adds_no_header_and_no_markup(messaging: Messaging, sent: MessageRequested) -> None:
    mail = await _mail(messaging, sent.address)
    headers = mail["headers"]
    assert isinstance(headers, list)
    assert "bcc" not in [name.lower() for name, _ in headers]
    listed = await messaging.get("/inbox", headers={"accept": "text/html"})
    assert "&lt;b&gt;waits" in listed.text
    assert "<b>waits" not in listed.text


async def test_a_mails_html_is_shown_in_a_sandbox_of_its_own(messaging: Messaging, sent: MessageRequested) -> None:
    number = (await _mail(messaging, sent.address))["id"]
    page = await messaging.get(f"/inbox/{number}")
    assert f'src="/inbox/{number}/html"' in page.text
    frame = await messaging.get(f"/inbox/{number}/html")
    policy = frame.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    source = await messaging.get(f"/inbox/{number}/source")
    assert source.headers["content-type"] == "message/rfc822"
    assert source.text.startswith(f"List-Unsubscribe: <{messaging.url}/u/")


async def test_the_inbox_is_searched_by_address_subject_and_store(messaging: Messaging, sent: MessageRequested) -> None:
    for query, hits in (({"q": "reader@"}, 1), ({"q": "waits"}, 1), ({"q": "%"}, 0), ({"store": "another"}, 0)):
        page = await messaging.get("/inbox", params=query)
        assert page.text.count("<td>Reader@example.com</td>") == hits, query


@pytest.mark.parametrize(
    "path",
    [
        "/inbox",
        "/inbox/1",
        "/inbox/1/html",
        "/messages",
        "/holds",
        "/api/v1/messages",
        "/api/v1/inbox",
        "/api/v1/holds",
    ],
)
async def test_P7_pages_and_api_are_for_operators(messaging: Messaging, path: str) -> None:
    assert (await messaging.get(path, sign_in=False)).status_code == 401


async def test_messages_are_listed_by_store_and_state_page_by_page(
    world: World, messaging: Messaging, sent: MessageRequested
) -> None:
    store = await world.open_store("store-listed", senders=())
    requests = [world.request(f"listed-{number}@example.com", store=store) for number in range(3)]
    await world.send(*requests)
    for request in requests:
        await world.reaches(request.message_id, "refused")
    found: list[str] = []
    after = ""
    while True:
        query = {"store_id": store, "state": "refused", "limit": 2, "after": after}
        page = (await messaging.get("/api/v1/messages", params=query)).json()
        found += [one["message_id"] for one in page["messages"]]
        if not (after := page["next"]):
            break
    assert sorted(found) == sorted(request.message_id for request in requests)
    assert (await messaging.get("/api/v1/messages", params={"state": "nonsense"})).status_code == 422
    assert (await messaging.get("/api/v1/messages", params={"after": "nonsense"})).status_code == 422
    assert (await messaging.get("/api/v1/messages/unknown")).status_code == 404
    shown = await messaging.get(f"/messages/{sent.message_id}")
    assert "Every record below" in shown.text
    for page_path in ("/messages", "/messages?state=in_doubt", "/holds", "/docs"):
        assert (await messaging.get(page_path, headers={"accept": "text/html"})).status_code == 200


async def test_only_what_is_in_doubt_is_settled_by_hand(messaging: Messaging, sent: MessageRequested) -> None:
    settle = f"/api/v1/messages/{sent.message_id}/settle"
    assert (await messaging.post(settle, json={"outcome": "not_sent", "note": "x"})).status_code == 409
    assert (await messaging.post(settle, json={"outcome": "perhaps", "note": "x"})).status_code == 422
    unknown = await messaging.post("/api/v1/messages/unknown/settle", json={"outcome": "sent", "note": "x"})
    assert unknown.status_code == 404
