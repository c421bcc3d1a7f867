import hashlib
import re
from pathlib import Path

import pytest
from fastapi import Request
from jinja2 import UndefinedError

from tests.unit.library.sample_service import sample_settings
from trolleybus.pages import HERE, STATIC, Pages, iso, number, utc

VENDOR = STATIC / "vendor"
OURS = [*HERE.glob("templates/*.html"), STATIC / "trolleybus.js", STATIC / "trolleybus.css", STATIC / "icon.svg"]


def request(path: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": path, "headers": [(b"host", b"x.example.com")]})


def rendered(tmp_path: Path, body: str, path: str = "/dashboard", **context: str) -> str:
    (tmp_path / "page.html").write_text(
        '{% extends "layout.html" %}{% import "macros.html" as ui %}'
        "{% block title %}Carts{% endblock %}{% block content %}" + body + "{% endblock %}"
    )
    return bytes(
        Pages(sample_settings(), tmp_path).render(request(path), "page.html", status=200, **context).body
    ).decode()


def test_vendored_files_are_what_their_list_says() -> None:
    lines = [line.split("  ") for line in (VENDOR / "vendor.sha256").read_text().splitlines()]
    listed = {name: digest for digest, name in lines}
    present = {
        str(file.relative_to(VENDOR)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDOR.rglob("*")
        if file.is_file() and file.name not in {"vendor.sha256", "README.md"}
    }
    assert present == listed


def test_every_vendored_package_has_its_licence() -> None:
    for folder in (folder for folder in VENDOR.iterdir() if folder.is_dir()):
        assert list(folder.glob("LICENSE*")), folder.name


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_nothing_of_ours_is_inline_or_from_outside(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//|url\(["']?http|@import""", text)


def test_the_page_one_is_on_is_marked(tmp_path: Path) -> None:
    assert '<a href="http://127.0.0.1:8105/dashboard" aria-current="page">Dashboard</a>' in rendered(tmp_path, "")
    assert "aria-current" not in rendered(tmp_path, "", path="/elsewhere")
    assert "<title>Carts · Trolleybus</title>" in rendered(tmp_path, "")


def test_text_is_escaped_in_pages_and_macros(tmp_path: Path) -> None:
    hostile = "<img src=x>"
    body = """
    {{ text }} {{ ui.badge(text) }} {{ ui.empty(text, text) }} {{ ui.pagination(text, text) }}
    {% call ui.figures() %}{{ ui.figure(text, text, text, text) }}{% endcall %}
    {% call ui.table([text, (text, "number")], text) %}<tr><td>{{ text }}</td></tr>{% endcall %}
    """
    page = rendered(tmp_path, body, text=hostile)
    assert hostile not in page
    assert page.count("&lt;img") >= 12


def test_a_name_that_the_context_lacks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError):
        rendered(tmp_path, "{{ missing }}")


def test_times_and_numbers_are_read_alike_everywhere() -> None:
    assert iso(1_763_700_000_123) == "2025-11-21T04:40:00.123+00:00"
    assert utc(1_763_700_000_123) == "2025-11-21 04:40:00 UTC"
    assert number(1234567) == "1\u202f234\u202f567"
