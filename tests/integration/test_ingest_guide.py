"""Every command of the storefront's guide, run as it stands there."""

import asyncio
import json
import os
import re
import uuid
from pathlib import Path

from tests.integration.ingest_harness import running, world

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "storefront.md"


async def test_every_command_of_the_storefronts_guide_is_taken_whole(env: dict[str, str], tmp_path: Path) -> None:
    commands = re.findall(r"```bash\n(.*?)```", await asyncio.to_thread(GUIDE.read_text), re.DOTALL)
    assert len(commands) == 7
    async with (
        world(env, f"ingest-guide-{uuid.uuid4().hex[:6]}.") as around,
        running(around, tmp_path / "log") as gateway,
    ):
        shop = await gateway.open_shop("guide")
        settings = {"INGEST_URL": gateway.url, "WRITE_KEY": shop.write_key, "SECRET_KEY": shop.secret_key}
        for command in commands:
            shell = await asyncio.create_subprocess_exec(
                "bash", "-euc", command, env={**os.environ, **settings}, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await asyncio.wait_for(shell.communicate(), 30)
            assert shell.returncode == 0, (command, output)
            for result in json.loads(output)["results"]:
                assert set(result) == {"status", "id"}, (command, result)
        kinds = {record.kind for record in await gateway.records("cart.activity", "guide")}
        assert kinds == {"snapshot", "contact_captured", "product_viewed", "checkout_step", "order_placed"}
