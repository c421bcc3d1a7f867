"""Every command of the guide for Shopify, run as it stands there."""

import uuid
from pathlib import Path

from tests.eventually import eventually
from tests.integration.guides import commands_of, run
from tests.integration.ingest_harness import running, world


async def test_every_command_of_the_guide_for_shopify_does_what_it_says(env: dict[str, str], tmp_path: Path) -> None:
    commands = await commands_of("shopify.md")
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
        code, said = await run(connecting, settings, tmp_path)
        assert (code, f"/api/v1/integrations/shopify/{shop.store_id}/webhooks" in said) == (0, True), said
        code, said = await run(listing, settings, tmp_path)
        assert (code, "my-shop.myshopify.com" in said) == (0, True), said

        async def is_accepted() -> bool:  # The process learns of the shop within a second.
            code, said = await run(sending, settings, tmp_path)
            assert code == 0 or "No such shop" in said, said
            return '"accepted"' in said

        async def is_noted() -> bool:
            return '"last_event_at":null' not in (await run(listing, settings, tmp_path))[1]

        await eventually(is_accepted, 10)
        await eventually(is_noted, 15)
        code, said = await run(looking + rotating, settings, tmp_path)
        assert (code, "NOT" in said) == (0, False), said
        assert {one.cart_id for one in await gateway.records("cart.activity", shop.store_id)} == {"guide-cart"}
