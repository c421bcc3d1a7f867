"""Stores, campaigns, signing in and the pages, over HTTP and on the command line, on the real servers."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.integration.campaigns_harness import Campaigns, running, world
from trolleybus.contracts.messages import MessageRequested
from trolleybus.contracts.stores import StoreConfig
from trolleybus.security import SESSION_COOKIE, hash_key

STEP = {"delay": "0s", "subject": "s", "html": "h {{ unsubscribe_url }}", "text": "t {{ unsubscribe_url }}"}
NEW = {"name": "Shop", "currency": "EUR", "time_zone": "Europe/Madrid", "levels": ["15m", "1h"]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def campaigns(env: dict[str, str], tmp_path_factory: Any) -> AsyncIterator[Campaigns]:
    log = tmp_path_factory.mktemp("campaigns") / "log"
    async with world(env, "ca.") as around, running(around, log) as service:
        yield service


async def trolleybus(campaigns: Campaigns, *words: str) -> tuple[int, str, str]:
    environment = {**os.environ, **campaigns.env, "CAMPAIGNS_URL": campaigns.url, "COLUMNS": "200"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from trolleybus.cli import main; main()", *words,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def signed_in(campaigns: Campaigns) -> dict[str, str]:
    link = (await campaigns.call("POST", "/api/v1/sign-in-links", {})).json()["url"]
    async with httpx2.AsyncClient() as browser:
        answer = await browser.get(link)
    return {"cookie": f"{SESSION_COOKIE}={answer.cookies[SESSION_COOKIE]}", "authorization": "", "accept": "text/html"}


def fields(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["field"] for error in answer.json()["errors"]]


async def test_a_store_made_on_the_command_line_stands_on_the_topic_with_the_hashes_of_its_keys(
    campaigns: Campaigns,
) -> None:
    code, out, err = await trolleybus(
        campaigns, "store", "create", "Cups & Co", "--currency", "EUR", "--time-zone", "Europe/Madrid",
        "--levels", "15s,45s,2m", "--origins", "https://shop.example.com", "--quiet", "21:00-09:00", "--cap", "3/7d",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    made = json.loads(out)
    assert made["store_id"].startswith("cups-co-")
    assert made["campaign_id"]
    (config,) = await campaigns.tells(StoreConfig, made["store_id"])
    assert (config.version, config.levels, config.origins) == (1, (15, 45, 120), ("https://shop.example.com",))
    assert (config.quiet_from_minute, config.quiet_to_minute, config.cap_messages) == (1260, 540, 3)
    assert config.detection_from == config.occurred_at
    assert {key.kind: key.hash for key in config.keys} == {
        "write": hash_key(made["write_key"]),
        "secret": hash_key(made["secret_key"]),
    }
    shown = json.loads((await trolleybus(campaigns, "store", "show", made["store_id"], "--json"))[1])
    assert made["write_key"] not in json.dumps(shown)
    assert made["secret_key"] not in json.dumps(shown)


async def test_the_command_line_says_in_one_sentence_what_was_wrong(campaigns: Campaigns) -> None:
    code, out, err = await trolleybus(
        campaigns, "store", "create", "Shop", "--currency", "EUR", "--time-zone", "Europe/Nowhere"
    )
    assert (code, out) == (1, "")
    assert "/time_zone" in err
    assert "Traceback" not in err


async def test_each_change_of_a_store_is_a_new_version_on_the_topic(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    path = f"/api/v1/stores/{store_id}"
    answer = await campaigns.call("PATCH", path, {"name": "Other", "levels": ["15m", "2h"]})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert (await campaigns.call("PATCH", path, {"name": "Other"})).json()["version"] == 2  # Nothing changed.
    first = (await campaigns.call("GET", path)).json()["keys"][0]
    key = (await campaigns.call("POST", f"{path}/keys/{first['key_id']}/rotate", {"grace": "1h"})).json()
    old = (await campaigns.call("GET", path)).json()["keys"][0]
    assert old["expires_at"] is not None
    assert (await campaigns.call("DELETE", f"{path}/keys/{old['key_id']}")).status_code == 204
    versions = await campaigns.tells(StoreConfig, store_id, 4)
    assert [one.version for one in sorted(versions, key=lambda one: one.version)] == [1, 2, 3, 4]
    last = max(versions, key=lambda one: one.version)
    assert hash_key(key["key"]) in {one.hash for one in last.keys}
    assert old["key_id"] not in {one.key_id for one in last.keys}


async def test_a_store_has_several_keys_each_with_what_it_may_do(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    path = f"/api/v1/stores/{store_id}/keys"
    made = await campaigns.call("POST", path, {"kind": "secret", "scopes": ["orders"]})
    assert made.status_code == 201
    keys = (await campaigns.call("GET", f"/api/v1/stores/{store_id}")).json()["keys"]
    assert [(key["kind"], key["scopes"], key["expires_at"]) for key in keys] == [
        ("write", [], None),
        ("secret", [], None),
        ("secret", ["orders"], None),
    ]
    assert fields(await campaigns.call("POST", path, {"kind": "write", "scopes": ["orders"]})) == ["/scopes"]
    assert (await campaigns.call("POST", f"{path}/key_0/rotate", {})).status_code == 404
    (version,) = [one for one in await campaigns.tells(StoreConfig, store_id, 2) if one.version == 2]
    assert version.keys[-1].hash == hash_key(made.json()["key"])
    assert version.keys[-1].scopes == ("orders",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"currency": "EUX"}, ["/currency"]),
        ({"time_zone": "Mars/Phobos"}, ["/time_zone"]),
        ({"levels": []}, ["/levels"]),
        ({"levels": ["1h", "15m"]}, ["/levels"]),
        ({"levels": ["1h", "x"]}, ["/levels/1"]),
        ({"levels": ["91d"], "expiry": "91d"}, ["/levels"]),
        ({"origins": ["https://shop.example.com/path"]}, ["/origins/0"]),
        ({"shop_url": "ftp://shop.example.com"}, ["/shop_url"]),
        ({"quiet_hours": "late"}, ["/quiet_hours"]),
        ({"colour": "red"}, ["/colour"]),
    ],
)
async def test_P8_a_store_that_is_not_valid_is_refused_by_field(
    campaigns: Campaigns, changes: dict[str, Any], expected: list[str]
) -> None:
    assert fields(await campaigns.call("POST", "/api/v1/stores", {**NEW, **changes})) == expected


async def test_levels_that_would_leave_a_campaign_without_its_entry_are_refused(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    answer = await campaigns.call("PATCH", f"/api/v1/stores/{store_id}", {"levels": ["1h"]})
    assert fields(answer) == ["/levels"]
    assert "15m" in answer.json()["errors"][0]["detail"]


async def test_nothing_is_answered_without_the_operators_token(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    made = (await campaigns.call("POST", "/api/v1/stores", NEW)).json()
    for token in ("", "Bearer wrong", f"Bearer {made['secret_key']}"):
        for path in ("/api/v1/stores", f"/api/v1/stores/{store_id}", f"/api/v1/stores/{store_id}/campaigns"):
            assert (await campaigns.call("GET", path, authorization=token)).status_code == 401
        assert (await campaigns.call("POST", "/api/v1/stores", NEW, authorization=token)).status_code == 401
        assert (await campaigns.call("POST", "/api/v1/sign-in-links", {}, authorization=token)).status_code == 401


async def test_a_campaign_is_made_changed_and_deleted(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store(campaign=False)
    path = f"/api/v1/stores/{store_id}/campaigns"
    body = {"name": "Own", "entry_level": "1h", "reentry": "1d", "holdout_share": 0.1, "steps": [STEP]}
    answer = await campaigns.call("POST", path, body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["status"], made["entry_level_seconds"], made["reentry_seconds"]) == ("draft", 3600, 86_400)
    changed = (await campaigns.call("PATCH", f"{path}/{made['campaign_id']}", {"status": "active"})).json()
    assert (changed["status"], changed["version"], changed["holdout_share"]) == ("active", 2, 0.1)
    assert (await campaigns.call("GET", path)).json()["items"] == [changed]
    assert (await campaigns.call("DELETE", f"{path}/{made['campaign_id']}")).status_code == 204
    assert (await campaigns.call("GET", f"{path}/{made['campaign_id']}")).status_code == 404


async def test_a_template_that_cannot_be_rendered_is_refused_with_step_field_and_line(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    broken = {**STEP, "html": "one\ntwo\n{{ customer.nickname }} {{ unsubscribe_url }}"}
    answer = await campaigns.call(
        "POST", f"/api/v1/stores/{store_id}/campaigns", {"name": "Own", "steps": [STEP, broken]}
    )
    assert fields(answer) == ["/steps/1/html"]
    assert "step 2, html, line 3" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"entry_level": "2h"}, ["/entry_level"]),
        ({"holdout_share": 0.6}, ["/holdout_share"]),
        ({"status": "running"}, ["/status"]),
        ({"status": "active", "steps": []}, ["/steps"]),
        ({"steps": [{**STEP, "text": "no link"}]}, ["/steps/0/text"]),
        ({"steps": [{**STEP, "channel": "sms"}]}, ["/steps/0/channel"]),
        ({"steps": [{**STEP, "delay": "91d"}]}, ["/steps/0/delay"]),
    ],
)
async def test_P8_a_campaign_that_is_not_valid_is_refused_by_field(
    campaigns: Campaigns, changes: dict[str, Any], expected: list[str]
) -> None:
    store_id = await campaigns.open_store()
    campaign_id = await campaigns.campaign_of(store_id)
    answer = await campaigns.call("PATCH", f"/api/v1/stores/{store_id}/campaigns/{campaign_id}", changes)
    assert fields(answer) == expected


async def test_a_step_is_previewed_with_sample_data(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store(name="Cups & Co")
    path = f"/api/v1/stores/{store_id}/campaigns/{await campaigns.campaign_of(store_id)}/preview"
    shown = (await campaigns.call("POST", path, {"step": 0})).json()
    assert "Cups &amp; Co" in shown["html"]
    assert "Copper kettle" in shown["text"]
    unsaved = {"templates": {**STEP, "subject": "{{ cart.count }} things"}}
    assert (await campaigns.call("POST", path, unsaved)).json()["subject"] == "3 things"
    assert fields(await campaigns.call("POST", path, {"templates": {**STEP, "subject": "{% if %}"}})) == ["/subject"]
    assert (await campaigns.call("POST", path, {"step": 9})).status_code == 404


async def test_P7_one_stores_campaign_is_not_found_under_another(campaigns: Campaigns) -> None:
    here, there = await campaigns.open_store(), await campaigns.open_store()
    campaign_id = await campaigns.campaign_of(here)
    for method, path, body in (
        ("GET", f"/api/v1/stores/{there}/campaigns/{campaign_id}", None),
        ("PATCH", f"/api/v1/stores/{there}/campaigns/{campaign_id}", {"status": "paused"}),
        ("DELETE", f"/api/v1/stores/{there}/campaigns/{campaign_id}", None),
        ("GET", f"/api/v1/stores/{there}/campaigns/{campaign_id}/journeys", None),
        ("GET", f"/stores/{there}/campaigns/{campaign_id}", None),
        ("GET", f"/stores/{there}/campaigns/{campaign_id}/steps/0/preview", None),
    ):
        assert (await campaigns.call(method, path, body)).status_code == 404


async def test_journeys_come_in_pages(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    shoppers = [await campaigns.known_shopper(store_id) for _ in range(5)]
    await campaigns.writer.send(*(shopper.abandoned() for shopper in shoppers))
    await campaigns.tells(MessageRequested, store_id, 5)
    path = f"/api/v1/stores/{store_id}/campaigns/{await campaigns.campaign_of(store_id)}/journeys"
    seen: list[str] = []
    after = ""
    while True:
        page = (await campaigns.call("GET", f"{path}?limit=2&after={after}")).json()
        seen += [one["cart_id"] for one in page["items"]]
        assert page["counts"] == {"active": 5}
        if not (after := page["next"] or ""):
            break
    assert sorted(seen) == sorted(shopper.cart_id for shopper in shoppers)
    assert (await campaigns.call("GET", f"{path}?status=exited")).json()["items"] == []
    assert fields(await campaigns.call("GET", f"{path}?after=nonsense")) == ["query/after"]


async def test_a_sign_in_link_opens_one_session_and_leads_to_the_page_that_was_asked_for(campaigns: Campaigns) -> None:
    wanted = f"{campaigns.url}/stores"
    link = (await campaigns.call("POST", "/api/v1/sign-in-links", {"next": wanted})).json()["url"]
    async with httpx2.AsyncClient() as browser:
        first = await browser.get(link)
        second = await browser.get(link)
    assert (first.status_code, first.headers["location"]) == (303, wanted)
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert second.status_code == 401
    assert "set-cookie" not in second.headers


async def test_a_sign_in_link_opened_by_two_at_once_signs_one_in(campaigns: Campaigns) -> None:
    link = (await campaigns.call("POST", "/api/v1/sign-in-links", {})).json()["url"]
    async with httpx2.AsyncClient() as browser:
        answers = await asyncio.gather(*(browser.get(link) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [303] + [401] * 7


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example.net/",
        "//evil.example.net",
        "javascript:alert(1)",
        "{url}@evil.example.net",
        "{url}1/",
        "/x",
    ],
)
async def test_a_sign_in_link_leads_nowhere_else(campaigns: Campaigns, elsewhere: str) -> None:
    body = {"next": elsewhere.format(url=campaigns.url)}
    assert fields(await campaigns.call("POST", "/api/v1/sign-in-links", body)) == ["/next"]


async def test_the_command_line_prints_a_link_that_signs_in(campaigns: Campaigns) -> None:
    code, out, err = await trolleybus(campaigns, "sign-in")
    assert code == 0, err
    async with httpx2.AsyncClient() as browser:
        assert (await browser.get(out.strip())).status_code == 303


async def test_the_pages_show_stores_campaigns_and_why_each_cart_was_treated_as_it_was(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store(name="Cups <i>& Co")
    campaign_id = await campaigns.campaign_of(store_id)
    here = f"/stores/{store_id}/campaigns/{campaign_id}"
    session = await signed_in(campaigns)
    empty = await campaigns.call("GET", here, **session)
    assert "No journey yet" in empty.text

    shopper = await campaigns.known_shopper(store_id)
    nobody = campaigns.shopper(store_id)
    await campaigns.writer.send(shopper.abandoned(), nobody.abandoned(contact_known=False))
    await campaigns.tells(MessageRequested, store_id)
    await campaigns.settled()
    for path in ("/stores", "/campaigns", f"/stores/{store_id}", here, f"{here}/steps/0"):
        page = await campaigns.call("GET", path, **session)
        assert page.status_code == 200
        assert "Cups &lt;i&gt;&amp; Co" in page.text
        assert "<i>&" not in page.text
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page.text)
    shown = (await campaigns.call("GET", here, **session)).text
    assert shopper.cart_id in shown
    assert "no_contact" in shown
    assert shopper.email not in shown


async def test_a_steps_preview_can_run_nothing_and_reach_nothing(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    here = f"/stores/{store_id}/campaigns/{await campaigns.campaign_of(store_id)}"
    preview = await campaigns.call("GET", f"{here}/steps/0/preview", **await signed_in(campaigns))
    policy = preview.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    assert "allow-" not in policy
    assert "Copper kettle" in preview.text


async def test_a_campaign_is_paused_from_its_own_page_only(campaigns: Campaigns) -> None:
    store_id = await campaigns.open_store()
    here = f"/stores/{store_id}/campaigns/{await campaigns.campaign_of(store_id)}"
    session = await signed_in(campaigns)

    async def post(origin: str) -> int:
        async with httpx2.AsyncClient(base_url=campaigns.url) as browser:
            headers = {"cookie": session["cookie"], "origin": origin}
            return (await browser.post(f"{here}/status", data={"status": "paused"}, headers=headers)).status_code

    assert await post("https://evil.example.net") == 403
    assert await post(campaigns.url) == 303
    assert (await campaigns.call("GET", f"/api/v1{here}")).json()["status"] == "paused"


async def test_a_page_without_a_session_says_how_to_sign_in(campaigns: Campaigns) -> None:
    page = await campaigns.call("GET", "/stores", authorization="", accept="text/html")
    assert page.status_code == 401
    assert "trolleybus sign-in" in page.text
