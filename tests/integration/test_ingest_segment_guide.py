"""Every command of the guide for Segment, run as it stands there."""

import uuid
from pathlib import Path

from tests.integration.guides import commands_of, run
from tests.integration.ingest_harness import running, world


async def test_every_command_of_the_guide_for_segment_does_what_it_says(env: dict[str, str], tmp_path: Path) -> None:
    commands = await commands_of("segment.md")
    assert len(commands) == 3
    async with (
        world(env, f"segment-guide-{uuid.uuid4().hex[:6]}.") as around,
        running(around, tmp_path / "log") as gateway,
    ):
        shop = await gateway.open_shop("guide")
        settings = {
            **gateway.env,
            "INGEST_URL": gateway.url,
            "WRITE_KEY": shop.write_key,
            "STORE_ID": shop.store_id,
        }
        said = []
        for command in commands:
            code, output = await run(command, settings, tmp_path)
            assert code == 0, (command, output)
            said.append(output)
        assert [text.count('"accepted"') for text in said] == [1, 2, 0]
        assert '"warnings"' not in said[1]
        assert "Imported 2 lines" in said[2]
        carts = {(one.cart_id, one.kind) for one in await gateway.records("cart.activity", "guide") if one.cart_id}
        assert carts == {
            *(("cart-42", "lines_added"), ("cart-42", "order_placed")),
            *(("cart-1", "lines_added"), ("cart-1", "order_placed")),
        }
        assert len(await gateway.records("orders", "guide")) == 2
