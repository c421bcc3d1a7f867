from pathlib import Path
from typing import Self

import pytest
from pydantic import model_validator

from tests.unit.library.sample_service import SECRETS, SampleSettings, sample_settings
from trolleybus.settings import SettingsError


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SampleSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("server", "database"),
    [
        ("postgresql://u:p@db:5432/postgres", "postgresql://u:p@db:5432/trolleybus_analytics"),
        ("postgresql://u@db", "postgresql://u@db/trolleybus_analytics"),
        ("postgres://u@db/x?sslmode=require", "postgres://u@db/trolleybus_analytics?sslmode=require"),
        ("postgresql:///x?host=/run/pg&port=1", "postgresql:///trolleybus_analytics?host=/run/pg&port=1"),
        ("postgresql://u@a:1,b:2/x", "postgresql://u@a:1,b:2/trolleybus_analytics"),
    ],
)
def test_the_database_is_the_services_own_on_the_given_server(server: str, database: str) -> None:
    assert sample_settings(postgres_url=server).database_url == database


def test_missing_secrets_are_named_with_how_to_make_one() -> None:
    with pytest.raises(SettingsError) as error:
        SampleSettings.load()
    for name in SECRETS:
        assert f"{name} is not set; make one with: python3 -c" in str(error.value)


def test_an_error_never_shows_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPERATOR_TOKEN", "tooshort-hush")
    monkeypatch.setenv("POSTGRES_URL", "mysql://u:hush@db")
    with pytest.raises(SettingsError) as error:
        SampleSettings.load()
    assert "OPERATOR_TOKEN is wrong" in str(error.value)
    assert "POSTGRES_URL is wrong: Value error, must start with postgresql://" in str(error.value)
    assert "hush" not in str(error.value)


def test_a_rule_about_several_settings_speaks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ruled(SampleSettings):
        @model_validator(mode="after")
        def _never(self) -> Self:
            raise ValueError("PORT and HOST do not go together")

    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"\n  Value error, PORT and HOST do not go together$"):
        Ruled.load()


def test_signing_keys_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRETS | {"SIGNING_KEYS": f"{'a' * 32}, {'b' * 32}"}).items():
        monkeypatch.setenv(name, value)
    assert [key.get_secret_value() for key in SampleSettings.load().signing_keys] == ["a" * 32, "b" * 32]


def test_a_file_fills_in_what_the_environment_does_not_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()) + "PORT=1\nHOST=::1\n")
    monkeypatch.setenv("PORT", "2")
    settings = SampleSettings.load(file)
    assert (settings.port, settings.host) == (2, "::1")


def test_settings_do_not_print_their_secrets() -> None:
    shown = repr(sample_settings(postgres_url="postgresql://u:hush@db/x"))
    assert "hush" not in shown
    assert not any(secret in shown for secret in SECRETS.values())


def test_public_addresses_lose_their_last_slash() -> None:
    assert sample_settings(ingest_url="https://in.example.com/").ingest_url == "https://in.example.com"
