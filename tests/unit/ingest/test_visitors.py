"""Where a shopper's browser is, and when more comes from there than people send."""

import base64
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.ingest.countries import Countries
from services.ingest.domain.addresses import household, last_address
from services.ingest.domain.pace import MINUTE_MS, Pace
from services.ingest.settings import IngestSettings
from services.ingest.visitors import Visitors
from tests.mmdb import write_countries

ORIGIN = {"origin": "https://shop.example.com"}
ADDRESSES = st.ip_addresses()


@given(ADDRESSES, st.lists(st.sampled_from(["198.51.100.7", "unknown", "::1"]), max_size=2))
def test_the_address_is_the_last_that_a_header_has(address: IPv4Address | IPv6Address, before: list[str]) -> None:
    same = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
    plain = f"[{address}]" if address.version == 6 else str(address)
    for written in (str(address).partition("%")[0], f" {plain} ", f"{plain}:443"):
        assert last_address(",".join([*before, written])) == same


@pytest.mark.parametrize(
    "text", ["", " ", "unknown", "_hidden", "shop.example.com", "300.1.1.1", "1.2.3.4,", "[", "1:2", "1.2.3", "١.1.1.1"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert last_address(text) is None


@given(st.text(max_size=60))
def test_any_header_is_read_without_an_error(text: str) -> None:
    last_address(text)


def test_a_household_is_an_address_or_half_a_network_of_ipv6() -> None:
    of = [household(ip_address(one)) for one in ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")]
    assert of[0] == of[1] != of[2]
    assert household(ip_address("192.0.2.1")) != household(ip_address("192.0.2.2"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    countries = {"192.0.2.0/24": "ES", "198.51.100.0/25": "PT", "2001:db8::/32": "FR", "203.0.113.0/24": {"city": "x"}}
    return write_countries(tmp_path / "countries.mmdb", countries)


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("192.0.2.77", "ES"),
        ("198.51.100.1", "PT"),
        ("198.51.100.200", ""),
        ("203.0.113.1", ""),
        ("2001:db8:1::2", "FR"),
        ("2001:db9::1", ""),
    ],
)
def test_a_database_tells_the_country_of_an_address(database: Path, address: str, country: str) -> None:
    assert Countries(database).of(ip_address(address)) == country


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mmdb"
    broken.write_text("no database")
    with pytest.raises(ValueError, match=r"broken\.mmdb"):
        Countries(broken)
    with pytest.raises(ValueError, match=r"none\.mmdb"):
        Countries(tmp_path / "none.mmdb")


def settings(**given: Any) -> IngestSettings:
    secret = SecretStr("1:" + "a" * 40)
    return IngestSettings(
        integration_keys=SecretStr(f"1:{base64.b64encode(bytes(32)).decode()}"),
        installation_secret=secret,
        signing_keys=(secret,),
        operator_token=secret,
        **given,
    )


def test_a_database_needs_to_be_one_and_an_address_to_look_up(database: Path, tmp_path: Path) -> None:
    assert settings(address_header="X-Real-IP", country_database=database).country_database == database
    with pytest.raises(ValueError, match="tells nothing without ADDRESS_HEADER"):
        settings(country_database=database)
    with pytest.raises(ValueError, match=r"none\.mmdb is not read"):
        settings(address_header="X-Real-IP", country_database=tmp_path / "none.mmdb")


def visitors(countries: Countries | None = None, *, country: str = "", address: str = "", most: int = 3) -> Visitors:
    pace = Pace(most_a_minute=most)
    return Visitors(country_header=country, address_header=address, countries=countries, pace=pace)


@pytest.mark.parametrize(
    ("headers", "country"),
    [
        ({**ORIGIN, "cf-ipcountry": "ES"}, "ES"),
        ({"cf-ipcountry": "ES"}, ""),  # A server's: where it stands says nothing of the shopper.
        (ORIGIN, ""),
        ({**ORIGIN, "cf-ipcountry": "XX"}, ""),
        ({**ORIGIN, "cf-ipcountry": "T1"}, ""),
        ({**ORIGIN, "cf-ipcountry": "es"}, ""),
        ({**ORIGIN, "cf-ipcountry": "ÄÖ"}, ""),
        ({**ORIGIN, "cf-ipcountry": "ESP"}, ""),
    ],
)
def test_a_proxys_country_is_that_of_a_shoppers_browser(headers: Mapping[str, str], country: str) -> None:
    assert visitors(country="CF-IPCountry").country(headers) == country
    assert visitors().country(headers) == ""


@pytest.mark.parametrize(
    ("headers", "country"),
    [
        ({**ORIGIN, "x-real-ip": "192.0.2.1"}, "ES"),
        ({**ORIGIN, "x-real-ip": "192.0.2.1", "cf-ipcountry": "IT"}, "IT"),
        ({**ORIGIN, "x-real-ip": "192.0.2.1", "cf-ipcountry": "XX"}, "ES"),
        ({**ORIGIN, "x-real-ip": "nowhere"}, ""),
        ({**ORIGIN, "x-real-ip": "198.18.0.1"}, ""),
        ({"x-real-ip": "192.0.2.1"}, ""),
        (ORIGIN, ""),
    ],
)
def test_the_address_tells_the_country_where_the_proxy_does_not(
    database: Path, headers: Mapping[str, str], country: str
) -> None:
    told = visitors(Countries(database), country="CF-IPCountry", address="X-Real-IP")
    assert told.country(headers) == country


def test_more_from_one_address_in_a_minute_than_people_send_is_a_crowd() -> None:
    seen = visitors(address="X-Real-IP")
    ada, bob = {**ORIGIN, "x-real-ip": "192.0.2.1"}, {**ORIGIN, "x-real-ip": "192.0.2.2"}
    assert [seen.is_crowd(ada, "s", 1, at) for at in range(4)] == [False, False, False, True]
    assert not seen.is_crowd(bob, "s", 3, 5)
    assert seen.is_crowd(bob, "s", 1, 5)
    assert not seen.is_crowd(ada, "other", 1, 5)
    assert not seen.is_crowd(ada, "s", 1, MINUTE_MS)


def test_whoever_names_no_address_or_is_a_server_is_no_crowd() -> None:
    seen = visitors(address="X-Real-IP", most=1)
    assert not seen.is_crowd({"x-real-ip": "192.0.2.1"}, "s", 100, 1)
    assert not seen.is_crowd(ORIGIN, "s", 100, 1)
    assert not visitors(most=1).is_crowd({**ORIGIN, "x-real-ip": "192.0.2.1"}, "s", 100, 1)
