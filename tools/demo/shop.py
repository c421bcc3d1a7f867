"""The demo's store over the product's own HTTP APIs: made, watched, signed in to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from tools.simulator.player import Storefront
from tools.stack.errors import StackError

LEVELS_S = (15, 45, 120)
STEP_DELAYS_S = (0, 40, 60)
SHOP_URL = "https://shop.example"
HOLDOUT_SHARE = 0.1
KNOWN_TRIES = 200


@dataclass(frozen=True, slots=True)
class Figures:
    """What the dashboard shows of the store."""

    carts: int = 0
    abandoned: int = 0
    delivered: int = 0
    recovered: int = 0


class Shop:
    """One store of the installation, with an operator's rights."""

    def __init__(self, env: dict[str, str], client: httpx2.AsyncClient) -> None:
        self._env = env
        self._client = client
        self._headers = {"Authorization": f"Bearer {env['OPERATOR_TOKEN']}"}
        self.store_id = ""

    async def open(
        self,
        name: str,
        currency: str,
        *,
        holdout_share: float = HOLDOUT_SHARE,
        levels: Sequence[int] = LEVELS_S,
        step_delays: Sequence[int] = STEP_DELAYS_S,
    ) -> Storefront:
        """Create the store and its campaign; levels are seconds, the rest is the product as it is."""
        made = await self._post(
            "CAMPAIGNS_URL",
            "/api/v1/stores",
            {
                "name": name,
                "currency": currency,
                "time_zone": "Europe/Madrid",
                "levels": list(levels),
                "shop_url": SHOP_URL,
                "restore_url": f"{SHOP_URL}/cart/{{cart_id}}",
                "postal_address": "1 Example Street, 28001 Madrid",
                "senders": [{"channel": "email", "address": "hello@shop.example", "name": name}],
            },
        )
        self.store_id = made["store_id"]
        await self._hasten(made["campaign_id"], step_delays, holdout_share)
        await self._known_to_the_gateway(made["write_key"])
        return Storefront(
            ingest_url=self._env["INGEST_URL"], write_key=made["write_key"], secret_key=made["secret_key"]
        )

    async def _known_to_the_gateway(self, key: str) -> None:
        """The gateway learns of a store from its topic, moments later."""
        for _ in range(KNOWN_TRIES):
            answer = await self._client.post(
                f"{self._env['INGEST_URL']}/api/v1/carts/track", json={}, headers={"Authorization": f"Bearer {key}"}
            )
            if answer.status_code != 401:
                return
            await asyncio.sleep(0.1)
        raise StackError("the gateway does not know the new store: see the log of ingest")

    async def _hasten(self, campaign_id: str, step_delays: Sequence[int], holdout_share: float) -> None:
        """The campaign that came with the store, with seconds between its steps."""
        campaign = f"{self._env['CAMPAIGNS_URL']}/api/v1/stores/{self.store_id}/campaigns/{campaign_id}"
        answer = await self._client.get(campaign, headers=self._headers)
        answer.raise_for_status()
        texts = ("channel", "subject", "html", "text")
        steps = [
            {"delay": delay, **{name: step[name] for name in texts}}
            for step, delay in zip(answer.json()["steps"], step_delays, strict=False)
        ]
        answer = await self._client.patch(
            campaign, json={"steps": steps, "holdout_share": holdout_share}, headers=self._headers
        )
        if answer.status_code >= 400:
            raise StackError(f"campaigns refused the demo's campaign: {answer.status_code} {answer.text[:500]}")

    @property
    def dashboard(self) -> str:
        """The store's page with the last hour's figures."""
        return f"{self._env['ANALYTICS_URL']}/?store_id={self.store_id}&range=last_hour"

    async def sign_in_link(self) -> str:
        """A link that signs a browser in, once, and leads to the dashboard."""
        answer = await self._post("CAMPAIGNS_URL", "/api/v1/sign-in-links", {"next": self.dashboard})
        return str(answer["url"])

    async def figures(self) -> Figures:
        """The dashboard's figures now."""
        answer = await self._client.get(
            f"{self._env['ANALYTICS_URL']}/api/v1/analytics/dashboard",
            params={"store_id": self.store_id},
            headers=self._headers,
        )
        answer.raise_for_status()
        shown = answer.json()
        return Figures(
            carts=shown["carts"]["opened"],
            abandoned=shown["carts"]["abandoned"],
            delivered=shown["messages"]["delivered"],
            recovered=shown["recovered"]["carts"],
        )

    async def _post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._client.post(self._env[service] + path, json=body, headers=self._headers)
        if answer.status_code >= 400:
            raise StackError(f"{service} refused {path}: {answer.status_code} {answer.text[:500]}")
        result: dict[str, Any] = answer.json()
        return result
