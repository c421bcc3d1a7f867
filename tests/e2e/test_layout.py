"""The library's own pages in a real browser, under the real policy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from prometheus_client import CollectorRegistry

from tests.browser_fixtures import Watched
from tests.unit.library.sample_service import api, sample_settings
from trolleybus.http import Readiness, create_app
from trolleybus.pages import Pages
from trolleybus.runtime import serve

PAGE = """{% extends "layout.html" %}{% import "macros.html" as ui %}
{% block head %}{{ ui.charts_style() }}{% endblock %}
{% block content %}<h1>Carts</h1><p id="n" hx-get="/api/v1/trace" hx-trigger="load">-</p><div id="chart"></div>{% endblock %}
{% block scripts %}{{ ui.charts_script() }}<script src="/static/analytics/chart.js" defer></script>{% endblock %}"""
CHART = """new uPlot({width: 300, height: 100, series: [{}, {stroke: "teal"}]}, [[1, 2, 3], [3, 1, 2]],
document.getElementById("chart"));"""


@pytest.fixture
async def base(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[str]:
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "chart.js").write_text(CHART)
    settings = sample_settings(port=unused_tcp_port)
    pages = Pages(settings, tmp_path)
    router = APIRouter()

    @router.get("/dashboard", include_in_schema=False)
    async def dashboard(request: Request) -> HTMLResponse:
        return pages.render(request, "page.html")

    readiness = Readiness()
    app = create_app(
        title="Sample",
        settings=settings,
        readiness=readiness,
        registry=CollectorRegistry(),
        routers=[router, api(settings)],
        static=tmp_path,
    )
    serving = asyncio.ensure_future(serve(app, settings))
    async with asyncio.timeout(10):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
                writer.close()
                break
            await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{unused_tcp_port}"
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def test_charts_and_htmx_work_under_the_policy(base: str, watched: Watched) -> None:
    await watched.page.goto(f"{base}/dashboard")
    await watched.page.wait_for_selector("#chart canvas")
    await watched.page.wait_for_function("document.getElementById('n').textContent.startsWith('\"00-')")


async def test_the_theme_follows_the_persons_choice_on_every_page(base: str, watched: Watched) -> None:
    page = watched.page
    await page.emulate_media(color_scheme="dark")
    await page.goto(f"{base}/dashboard")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    dark = await page.evaluate(background)
    await page.click("[data-theme-switch]")
    assert await page.get_attribute("html", "data-theme") == "light"
    light = await page.evaluate(background)
    assert light != dark
    await page.goto(f"{base}/docs")
    assert await page.evaluate(background) == light


async def test_the_reference_opens_an_operation_without_script(base: str, watched: Watched) -> None:
    await watched.page.goto(f"{base}/docs")
    await watched.page.click("summary:has-text('/api/v1/carts/{name}')")
    assert await watched.page.is_visible("text=lines[].sku")


async def test_the_keyboard_reaches_the_content_first(base: str, watched: Watched) -> None:
    await watched.page.goto(f"{base}/dashboard")
    await watched.page.keyboard.press("Tab")
    assert await watched.page.evaluate("document.activeElement.textContent") == "Skip to content"
    await watched.page.keyboard.press("Enter")
    assert await watched.page.evaluate("document.activeElement.id") == "content"


async def test_pages_fit_a_phone(base: str, watched: Watched) -> None:
    await watched.page.set_viewport_size({"width": 360, "height": 700})
    for path in ("/dashboard", "/docs", "/nowhere"):
        await watched.page.goto(f"{base}{path}")
        assert await watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


async def test_a_browser_without_a_session_sees_how_to_sign_in(base: str, watched: Watched) -> None:
    answer = await watched.page.goto(f"{base}/api/v1/secret")
    assert answer is not None
    assert answer.status == 401
    assert await watched.page.is_visible("text=trolleybus sign-in")
