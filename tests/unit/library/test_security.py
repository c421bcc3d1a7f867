import base64
import hashlib
import json
from collections.abc import AsyncIterator

import httpx2
import jwt
import pytest
from fastapi import Response
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.library.sample_service import SECRETS, build, sample_settings
from trolleybus.security import (
    SESSION_COOKIE,
    BadLink,
    BadToken,
    Links,
    Tokens,
    equal,
    hash_key,
    new_key,
    session_cookie,
)

OLD, NEW = "a" * 40, "b" * 40


def test_keys_say_what_they_are_and_hold_256_bits() -> None:
    for kind, prefix in (("write", "tbw_"), ("secret", "tbs_")):
        key = new_key(kind)  # type: ignore[arg-type]  # the loop hides the literal
        assert key.startswith(prefix)
        assert len(base64.urlsafe_b64decode(key.removeprefix(prefix) + "=")) == 32
    assert len({new_key("write") for _ in range(100)}) == 100


def test_a_key_is_kept_as_its_sha256() -> None:
    assert hash_key("tbw_x") == hashlib.sha256(b"tbw_x").hexdigest()


@given(st.text(), st.text())
def test_equal_is_equality_and_never_raises(a: str, b: str) -> None:
    assert equal(a, b) == (a == b)
    assert equal(a, a)
    assert not equal(a, a + "\ud800")


def test_a_token_says_who_and_what_until_when() -> None:
    claims = Tokens([NEW]).verify(Tokens([NEW]).issue("operator@example.com", ["operator", "read"], 60))
    assert (claims.subject, claims.scopes) == ("operator@example.com", frozenset({"operator", "read"}))


def test_tokens_outlive_a_rotation_but_not_the_end_of_their_key() -> None:
    token = Tokens([OLD]).issue("operator", [], 60)
    assert Tokens([NEW, OLD]).verify(token).subject == "operator"
    with pytest.raises(BadToken, match="not ours"):
        Tokens([NEW]).verify(token)


def test_an_expired_token_is_refused() -> None:
    with pytest.raises(BadToken, match="expired"):
        Tokens([NEW]).verify(Tokens([NEW]).issue("operator", [], -1))


def test_a_token_for_another_audience_is_refused() -> None:
    with pytest.raises(BadToken):
        Tokens([NEW]).verify(Tokens([NEW]).issue("operator", [], 60, audience="shopper"))


def test_a_token_lives_a_day_at_most() -> None:
    with pytest.raises(ValueError, match="at most 86400 s"):
        Tokens([NEW]).issue("operator", [], 86_401)


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_no_changed_token_passes(position: int, other: str) -> None:
    tokens = Tokens([NEW])
    token = tokens.issue("operator", ["operator"], 60)
    position %= len(token) - 1  # the last character of base64 has bits that mean nothing
    if position == token.rindex(".") - 1 or token[position] == other:
        return
    with pytest.raises(BadToken):
        tokens.verify(token[:position] + other + token[position + 1 :])


@given(st.text())
def test_no_text_passes_as_a_token_or_a_link(text: str) -> None:
    with pytest.raises(BadToken):
        Tokens([NEW]).verify(text)
    with pytest.raises(BadLink):
        Links([NEW]).read("unsubscribe", text)


def test_an_unsigned_token_is_refused() -> None:
    payload = jwt.decode(Tokens([NEW]).issue("operator", [], 60), options={"verify_signature": False})
    header = jwt.get_unverified_header(Tokens([NEW]).issue("operator", [], 60))

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    with pytest.raises(BadToken):
        Tokens([NEW]).verify(f"{part(header | {'alg': 'none'})}.{part(payload)}.")


def test_a_link_carries_its_payload_for_one_purpose() -> None:
    links = Links([NEW])
    token = links.sign("unsubscribe", {"m": "1", "s": "shop"})
    assert links.read("unsubscribe", token) == {"m": "1", "s": "shop"}
    with pytest.raises(BadLink):
        links.read("restore-cart", token)
    with pytest.raises(BadLink):
        links.read("unsubscribe", token[:-2])


def test_the_first_key_signs_links_and_retired_ones_still_verify() -> None:
    token = Links([OLD]).sign("unsubscribe", {"m": "1"})
    assert Links([NEW, OLD]).read("unsubscribe", token) == {"m": "1"}
    assert Links([NEW]).read("unsubscribe", Links([NEW, OLD]).sign("unsubscribe", {})) == {}
    with pytest.raises(BadLink):
        Links([NEW]).read("unsubscribe", token)


# --- who may use the operator's side ----------------------------------------------------------------------------------

HOST = "http://shop.example.com:8105"


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=build(sample_settings()))
    async with httpx2.AsyncClient(transport=transport, base_url=HOST) as client:
        yield client


def session(*scopes: str, ttl_s: int = 60) -> dict[str, str]:
    return {"cookie": f"{SESSION_COOKIE}={Tokens([SECRETS['SIGNING_KEYS']]).issue('me', scopes, ttl_s)}"}


def bearer(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}


async def test_the_operators_token_and_a_signed_token_open_the_door(client: httpx2.AsyncClient) -> None:
    signed = Tokens([SECRETS["SIGNING_KEYS"]]).issue("me", ["operator"], 60)
    for credential in (SECRETS["OPERATOR_TOKEN"], signed):
        assert (await client.get("/api/v1/secret", headers=bearer(credential))).status_code == 200


async def test_anything_else_is_a_401(client: httpx2.AsyncClient) -> None:
    foreign = Tokens([OLD]).issue("me", ["operator"], 60)
    for credential in ("", "wrong", "ø" * 40, foreign, SECRETS["OPERATOR_TOKEN"][:-1]):
        headers = {b"authorization": f"Bearer {credential}".encode()}
        assert (await client.get("/api/v1/secret", headers=headers)).status_code == 401
    assert (await client.get("/api/v1/secret", headers={"authorization": "Basic b29v"})).status_code == 401
    assert (await client.get("/api/v1/secret", headers=session("operator", ttl_s=-1))).status_code == 401


async def test_a_token_without_the_scope_is_a_403(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/v1/secret", headers=session("read"))).status_code == 403


async def test_a_session_reads_freely_but_changes_only_from_its_own_pages(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/v1/secret", headers=session("operator"))).status_code == 200
    origins = {HOST: 200, "http://shop.example.com:8104": 403, "https://evil.example.org": 403, "null": 403, "": 403}
    for origin, status in origins.items():
        response = await client.post("/api/v1/secret", headers=session("operator") | {"origin": origin})
        assert response.status_code == status, origin


async def test_a_bearer_needs_no_origin(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/v1/secret", headers=bearer(SECRETS["OPERATOR_TOKEN"]))
    assert response.status_code == 200


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    response = Response()
    session_cookie(response, "token", secure=True)
    cookie = response.headers["set-cookie"]
    for attribute in ("HttpOnly", "SameSite=strict", "Secure", "Path=/", "Max-Age=43200"):
        assert attribute in cookie
