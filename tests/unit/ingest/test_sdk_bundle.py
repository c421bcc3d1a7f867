"""The browser SDK as it is served: small, built from its source, cached rightly."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import cramjam
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from services.ingest.api.sdk import BUILT, CURRENT, scripts_in, sdk_router

ROOT = Path(__file__).parents[3]
BUNDLE = BUILT / CURRENT
MOST_BYTES = 6000


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    (tmp_path / CURRENT).write_bytes(b"current();" * 20)
    (tmp_path / "release-1.0.0.js").write_bytes(b"former();" * 20)
    app = FastAPI()
    app.include_router(sdk_router(tmp_path))
    return TestClient(app)


def test_the_sdk_is_smaller_than_6_kb() -> None:
    assert len(gzip.compress(BUNDLE.read_bytes(), mtime=0)) < MOST_BYTES


def test_the_committed_sdk_is_what_its_source_builds(tmp_path: Path) -> None:
    if not shutil.which("npm"):
        missing = "Node 18 or newer with npm is needed to build the SDK"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    sdk = tmp_path / "sdk"
    shutil.copytree(ROOT / "sdk", sdk, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "services" / "ingest" / "sdk").mkdir(parents=True)
    for command in (["npm", "ci", "--silent", "--prefer-offline"], ["npm", "run", "--silent", "build"]):
        done = subprocess.run(command, cwd=sdk, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    built = (tmp_path / "services" / "ingest" / "sdk" / CURRENT).read_bytes()
    assert built == BUNDLE.read_bytes(), "run `make sdk` and commit what it writes"


@pytest.mark.parametrize(("accepted", "coding"), [("br, gzip", "br"), ("gzip;q=1, br;q=0", "gzip"), ("", None)])
def test_the_sdk_comes_compressed_as_the_browser_wishes(client: TestClient, accepted: str, coding: str | None) -> None:
    answer = client.get("/sdk/v1/trolleybus.js", headers={"accept-encoding": accepted, "origin": "https://any.example"})
    body = bytes(cramjam.brotli.decompress(answer.content)) if coding == "br" else answer.content
    assert body == b"current();" * 20
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-type"].startswith("text/javascript")


def test_who_asks_for_the_headers_alone_gets_them(client: TestClient) -> None:
    assert client.head("/sdk/v1/trolleybus.js").headers["etag"] == client.get("/sdk/v1/trolleybus.js").headers["etag"]


def test_a_browser_that_has_it_is_told_so(client: TestClient) -> None:
    first = client.get("/sdk/v1/trolleybus.js")
    again = client.get("/sdk/v1/trolleybus.js", headers={"if-none-match": f'"x", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = client.get("/sdk/v1/trolleybus.js", headers={"accept-encoding": "identity"})
    assert other.headers["etag"] != first.headers["etag"]


def test_a_build_stays_under_its_own_name_when_a_newer_one_is_current(client: TestClient, tmp_path: Path) -> None:
    current, kept = scripts_in(tmp_path)
    assert client.get("/sdk/v1/trolleybus.js").headers["content-location"] == f"/sdk/v1/{current.name}"
    (former,) = kept.keys() - {current.name}
    for name, text in ((current.name, "current();"), (former, "former();")):
        answer = client.get(f"/sdk/v1/{name}")
        assert answer.text == text * 20
        assert "immutable" in answer.headers["cache-control"]
    assert "immutable" not in client.get("/sdk/v1/trolleybus.js").headers["cache-control"]


def test_a_build_that_never_was_is_not_found(client: TestClient) -> None:
    assert client.get("/sdk/v1/trolleybus-0000000000000000.js").status_code == 404
