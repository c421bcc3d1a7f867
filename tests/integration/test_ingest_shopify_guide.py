"""Every command of the guide for Shopify, run as it stands there."""

import asyncio
import os
import re
import sys
import uuid
from pathlib import Path

from tests.integration.ingest_harness import eventually, running, world

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "shopify.md"


async def run(script: str, settings: dict[str, str]) -> tuple[int, str]:
    """Its exit code, and what it says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        env={**os.environ, **settings, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode is not None
    return shell.returncode, output.decode()


async def test_every_command_of_the_guide_for_shopify_does_what_it_says(env: dict[str, str], tmp_path: Path) -> None:
    commands = re.findall(r"```bash\n(.*?)```", await asyncio.to_thread(GUIDE.read_text), re.DOTALL)
    assert len(commands) == 5
    connecting, listing, sending, looking, rotating = commands
    async with (
        world(env, f"shopify-guide-{uuid.uuid4().hex[:6]}.") as around,
        running(around, tmp_path / "log") as gateway,
    ):
        shop = await gateway.open_shop(f"guide-{uuid.uuid4().hex[:6]}")
        settings = {
            **gateway.env,
            "INGEST_URL": gateway.url,
            "STORE_ID": shop.store_id,
            "SECRET_KEY": shop.secret_key,
            "SHOP_DOMAIN": "my-shop.myshopify.com",
            "SHOPIFY_SECRET": "shpss_0123456789abcdef",
            "NEW_SHOPIFY_SECRET": "shpss_fedcba9876543210",
        }
        code, said = await run(connecting, settings)
        assert (code, f"/api/v1/integrations/shopify/{shop.store_id}/webhooks" in said) == (0, True), said
        code, said = await run(listing, settings)
        assert (code, "my-shop.myshopify.com" in said) == (0, True), said

        async def is_accepted() -> bool:  # The process learns of the shop within a second.
            code, said = await run(sending, settings)
            assert code == 0 or "No such shop" in said, said
            return '"accepted"' in said

        async def is_noted() -> bool:
            return '"last_event_at":null' not in (await run(listing, settings))[1]

        await eventually(is_accepted, 10)
        await eventually(is_noted, 15)
        code, said = await run(looking + rotating, settings)
        assert (code, "NOT" in said) == (0, False), said
        assert {one.cart_id for one in await gateway.records("cart.activity", shop.store_id)} == {"guide-cart"}
