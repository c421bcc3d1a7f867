"""/api/v1/integrations and `trolleybus integration`, on a running gateway."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.eventually import eventually
from tests.integration.ingest_harness import Ingest, Shop, running, world

SECRET, OTHER = "shpss_0123456789abcdef", "shpss_fedcba9876543210"
PATH = "/api/v1/integrations"
NEW = {
    "kind": "shopify",
    "settings": {"shop_domain": "https://My-Shop.myshopify.com/"},
    "secrets": {"webhook_secret": SECRET},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ingest]:
    log = tmp_path_factory.mktemp("ingest") / "log"
    async with world(env, f"t{uuid.uuid4().hex[:8]}.") as outside, running(outside, log) as gateway:
        yield replace(gateway, env={**gateway.env, "INGEST_URL": gateway.url})
    told = log.read_text()
    assert SECRET not in told
    assert OTHER not in told


@pytest_asyncio.fixture(loop_scope="session")
async def shop(ingest: Ingest) -> Shop:
    return await ingest.open_shop(f"shop-{uuid.uuid4().hex[:8]}")


async def call(
    ingest: Ingest, key: str, method: str, path: str = "", body: Any = None, **query: Any
) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=ingest.url, timeout=30) as client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        answer = await client.request(method, f"{PATH}{path}", json=body, params=query, headers=headers)
        assert SECRET not in answer.text
        assert OTHER not in answer.text
        return answer


def operator(ingest: Ingest) -> str:
    return ingest.env["OPERATOR_TOKEN"]


async def connected(ingest: Ingest, shop: Shop) -> dict[str, Any]:
    answer = await call(ingest, shop.secret_key, "POST", body=NEW)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_store_connects_tests_rotates_and_disconnects_its_shop(ingest: Ingest, shop: Shop) -> None:
    made = await connected(ingest, shop)
    assert made["store_id"] == shop.store_id
    assert made["settings"] == {"shop_domain": "my-shop.myshopify.com"}
    assert made["url"].endswith(f"/api/v1/integrations/shopify/{shop.store_id}/webhooks")
    assert [(one["last4"], one["valid_until"]) for one in made["secrets"]] == [("cdef", None)]
    at = f"/{made['integration_id']}"

    async def is_in_use() -> bool:
        checks = (await call(ingest, shop.secret_key, "POST", f"{at}/test")).json()["checks"]
        return bool({check["name"]: check["ok"] for check in checks}["in_use"])

    await eventually(is_in_use)
    tested = (await call(ingest, shop.secret_key, "POST", f"{at}/test")).json()
    assert not tested["ok"]
    assert {check["name"] for check in tested["checks"] if not check["ok"]} == {"event"}

    rotated = await call(ingest, shop.secret_key, "POST", f"{at}/rotate", {"secrets": {"webhook_secret": OTHER}})
    assert [one["last4"] for one in rotated.json()["secrets"]] == ["3210", "cdef"]
    assert rotated.json()["secrets"][1]["valid_until"]

    gone = await call(ingest, shop.secret_key, "POST", f"{at}/disconnect")
    assert (gone.json()["state"], gone.json()["secrets"]) == ("disconnected", [])
    assert (await call(ingest, shop.secret_key, "GET", at)).json() == gone.json()
    again = await call(ingest, shop.secret_key, "POST", f"{at}/rotate", {"secrets": {"webhook_secret": SECRET}})
    assert again.status_code == 409


async def test_P7_a_stores_key_reaches_its_own_integrations_alone(ingest: Ingest, shop: Shop) -> None:
    theirs = (await connected(ingest, shop))["integration_id"]
    other = await ingest.open_shop(f"shop-{uuid.uuid4().hex[:8]}")
    for method, path, body in (
        ("GET", f"/{theirs}", None),
        ("POST", f"/{theirs}/test", None),
        ("POST", f"/{theirs}/rotate", {"secrets": {"webhook_secret": OTHER}}),
        ("POST", f"/{theirs}/disconnect", None),
    ):
        assert (await call(ingest, other.secret_key, method, path, body)).status_code == 404, (method, path)
    assert (await call(ingest, other.secret_key, "POST", body={**NEW, "store_id": shop.store_id})).status_code == 403
    assert (await call(ingest, other.secret_key, "GET", store_id=shop.store_id)).status_code == 403
    assert (await call(ingest, other.secret_key, "GET")).json() == {"items": [], "next": None}
    assert (await call(ingest, shop.secret_key, "GET", f"/{theirs}")).json()["state"] == "connected"


async def test_who_may_not_manage_is_told_so(ingest: Ingest, shop: Shop) -> None:
    assert (await call(ingest, "", "GET")).status_code == 401
    assert (await call(ingest, "tbs_unknown", "GET")).status_code == 401
    assert (await call(ingest, "of nobody", "GET")).status_code == 401
    answer = await call(ingest, shop.write_key, "GET")
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_operator_works_for_every_store_and_pages_through_them(ingest: Ingest, shop: Shop) -> None:
    token = operator(ingest)
    nameless = await call(ingest, token, "POST", body=NEW)
    assert (nameless.status_code, nameless.json()["errors"][0]["field"]) == (422, "/store_id")
    assert (await call(ingest, token, "POST", body={**NEW, "store_id": "nobodys"})).status_code == 404
    made = await call(ingest, token, "POST", body={**NEW, "store_id": shop.store_id})
    assert made.status_code == 201
    segment = await call(ingest, token, "POST", body={"kind": "segment", "store_id": shop.store_id})
    assert segment.status_code == 201
    wanted = [segment.json()["integration_id"], made.json()["integration_id"]]
    first = (await call(ingest, token, "GET", store_id=shop.store_id, limit=1)).json()
    second = (await call(ingest, token, "GET", store_id=shop.store_id, limit=1, after=first["next"])).json()
    assert [one["integration_id"] for one in first["items"] + second["items"]] == wanted
    assert second["next"] is None
    kinds = {one["kind"] for one in (await call(ingest, token, "GET", kind="segment")).json()["items"]}
    assert kinds == {"segment"}
    assert (await call(ingest, token, "GET", f"/{wanted[0]}")).json()["store_id"] == shop.store_id
    assert (await call(ingest, token, "GET", "/int_0000000000000000")).status_code == 404


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"kind": "unheard-of"}, 422, "/kind"),
        ({"settings": {"shop_domain": "shop.example.com"}}, 422, "/settings/shop_domain"),
        ({"secrets": {}}, 422, "/secrets/webhook_secret"),
        ({"secrets": {"webhook_secret": "short"}}, 422, "/secrets/webhook_secret"),
        ({"settings": {"shop_domain": "a\x00.myshopify.com"}}, 422, "/settings/shop_domain"),
        ({"more": 1}, 422, "/more"),
    ],
)
async def test_what_is_not_valid_is_refused_by_its_field(
    ingest: Ingest, shop: Shop, change: dict[str, Any], status: int, field: str
) -> None:
    answer = await call(ingest, shop.secret_key, "POST", body={**NEW, **change})
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (status, [field])


async def test_a_second_of_a_kind_is_refused(ingest: Ingest, shop: Shop) -> None:
    await connected(ingest, shop)
    assert (await call(ingest, shop.secret_key, "POST", body=NEW)).status_code == 409


@pytest.mark.parametrize(
    "path", ["?after=x", "?after=%00", "?kind=%00", "?store_id=%00", "/%00", "/int_1", "?limit=0", "?after=٣.int_1"]
)
async def test_what_cannot_be_asked_is_refused(ingest: Ingest, path: str) -> None:
    async with httpx2.AsyncClient(base_url=ingest.url, timeout=30) as client:
        answer = await client.get(f"{PATH}{path}", headers={"authorization": f"Bearer {operator(ingest)}"})
    assert answer.status_code == 422, answer.text


async def test_the_command_does_the_same_and_reads_secrets_from_its_input(ingest: Ingest, shop: Shop) -> None:
    assert "integration connect" in await command(ingest, "list", "--store", shop.store_id)
    made = json.loads(
        await command(
            ingest, "connect", "shopify", "--store", shop.store_id, "--set", "shop_domain=my-shop.myshopify.com", "--json",
            stdin=SECRET,
        )
    )  # fmt: skip
    number = made["integration_id"]
    assert made["secrets"][0]["last4"] == "cdef"
    assert number in await command(ingest, "list", "--store", shop.store_id, "--json")
    listed = await command(ingest, "list", "--store", shop.store_id)
    assert number in listed
    assert "…" not in listed
    assert "3210" in await command(ingest, "rotate", number, "--overlap", "0", stdin=OTHER)
    assert "NOT  event" in await command(ingest, "test", number, code=1)
    assert "is disconnected" in await command(ingest, "disconnect", number)
    assert "disconnected" in await command(ingest, "show", number)
    assert "every secret is under key 1" in await command(ingest, "rewrap")
    assert "No such integration" in await command(ingest, "show", "int_0000000000000000", code=1)


async def command(ingest: Ingest, *arguments: str, stdin: str = "", code: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("trolleybus")), "integration", *arguments,
        env={**os.environ, **ingest.env},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate(f"{stdin}\n".encode())
    assert process.returncode == code, output.decode()
    return output.decode()


async def test_without_postgresql_the_gateway_starts_and_takes_events_and_says_what_it_cannot(
    ingest: Ingest, shop: Shop, tmp_path: Path
) -> None:
    nowhere = "postgresql://trolleybus@127.0.0.1:1/postgres"
    async with running(ingest, tmp_path / "log", POSTGRES_URL=nowhere) as gateway:
        event = {"event": "cart_updated", "event_id": "e-1", "cart_id": "cart-1", "currency": "EUR", "lines": []}
        taken = await gateway.post("carts/track", event, shop.write_key)
        assert taken.status_code == 202, taken.text
        ready = (await gateway.get("/readyz")).json()
        assert ready["ready"]
        assert "not known yet" in ready["parts"]["integrations"]["detail"]
        answer = await call(gateway, shop.secret_key, "GET")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
