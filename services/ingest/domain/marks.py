"""Marks on records that detection ignores and analytics counts."""

import re

BOT = "bot"

# Agents that say of themselves that no person sits before them. "cubot" is a maker of telephones.
_DECLARED = re.compile(
    r"(?<!cu)bot\b|bot[/;)_-]|crawl|spider|slurp|headless|phantomjs|scrap|lighthouse|pingdom|uptime|monitoring|"
    r"facebookexternalhit|preview|python-|aiohttp|httpx|curl/|wget/|libwww|go-http-client|okhttp-bot|java/|axios/|node-fetch",
    re.IGNORECASE,
)
LONGEST_AGENT = 1000


def of_agent(user_agent: str) -> tuple[str, ...]:
    """Marks of what a shopper's user agent declares itself to be."""
    return (BOT,) if _DECLARED.search(user_agent[:LONGEST_AGENT]) else ()
