"""Every command of the storefront's guide, run as it stands there."""

import json
import uuid
from pathlib import Path

from tests.integration.guides import commands_of, run
from tests.integration.ingest_harness import running, world


async def test_every_command_of_the_storefronts_guide_is_taken_whole(env: dict[str, str], tmp_path: Path) -> None:
    commands = await commands_of("storefront.md")
    assert len(commands) == 7
    async with (
        world(env, f"ingest-guide-{uuid.uuid4().hex[:6]}.") as around,
        running(around, tmp_path / "log") as gateway,
    ):
        shop = await gateway.open_shop("guide")
        settings = {"INGEST_URL": gateway.url, "WRITE_KEY": shop.write_key, "SECRET_KEY": shop.secret_key}
        for command in commands:
            code, output = await run(command, settings, tmp_path)
            assert code == 0, (command, output)
            for result in json.loads(output)["results"]:
                assert set(result) == {"status", "id"}, (command, result)
        kinds = {record.kind for record in await gateway.records("cart.activity", "guide")}
        assert kinds == {"snapshot", "contact_captured", "product_viewed", "checkout_step", "order_placed"}
