"""Every command of the guide for an own shop, in one shell as a reader has it; and what the reader does in a browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.browser_fixtures import Watched
from tests.e2e.line import Line, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "own-shop.md"
COMMANDS = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL)


class Shell:
    """One bash; a command that fails ends it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, commands: str) -> str:
        """What the commands print."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{commands}\nprintf '\\n--done--\\n'\n".encode())
        said = b""
        while not said.endswith(b"--done--\n"):
            line = await asyncio.wait_for(self._process.stdout.readline(), 60)
            said += line
            assert line, (commands, said.decode())
        return said.decode()


@asynccontextmanager
async def shell(folder: Path, env: dict[str, str]) -> AsyncIterator[Shell]:
    process = await asyncio.create_subprocess_exec(
        "bash", "-eu", cwd=folder, env={**os.environ, **env},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield Shell(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)


async def test_an_own_shop_is_connected_as_the_guide_says(line: Line, watched: Watched, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    create, page_files, serve, show, order, end = COMMANDS
    async with shell(tmp_path, {**line.env, "SHOP_URL": url, "SHOP_PORT": str(port)}) as reader:
        await reader.run(create)
        await reader.run(page_files)
        await reader.run(serve)
        try:
            await _in_the_browser(watched, url)
            store_id = json.loads((tmp_path / "store.json").read_text())["store_id"]

            async def captured() -> bool:
                log = await line.topics(store_id)
                return {"snapshot", "contact_captured"} <= {seen.values.get("kind") for seen in log}

            await eventually(captured, "the page's cart and contact are on the topic")
            await eventually(lambda: _known(reader, show), "the detector knows the cart")
            assert '"accepted"' in await reader.run(order)
            page = watched.page
            await page.goto(f"{url}/?trolleybus_cart=cart-42")
            await page.wait_for_selector("text=cart-42 is here again.")
        finally:
            await reader.run(end)
    assert not (tmp_path / "store.json").exists()


async def _in_the_browser(watched: Watched, url: str) -> None:
    page = watched.page

    async def served() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        except OSError:
            return False
        writer.close()
        return True

    await eventually(served, "the shop's page is served")
    await page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    await page.goto(url)
    await page.wait_for_function("() => !Array.isArray(window.trolleybus)")  # No reader is as fast as this one.
    await page.click("#add")
    await page.fill("input[type=email]", "shopper@example.com")
    await page.press("input[type=email]", "Tab")


async def _known(reader: Shell, show: str) -> bool:
    return "cart-42" in await reader.run(f"{show.strip()} || true")
