"""Marks on records that detection ignores and analytics counts: what is probably no shopper."""

import re
from functools import lru_cache

BOT = "bot"
INCOMPLETE = "incomplete"
"""Of a session that names neither its shopper nor its cart."""

# What crawlers, previews, checks and programs call themselves, a web or mail address in the name first of all.
# Apps' own libraries (okhttp, CFNetwork, Dart) are not among them, and "cubot" is a maker of telephones.
_DECLARED = re.compile(
    r"https?://|www\.|[\w.]@[\w-]+\.|(?<!cu)bot(?:\b|[_\d])|crawl|spider|slurp|headless|phantomjs|selenium|puppeteer|"
    r"playwright|scrap|fetch|scann|monitor|uptime|pingdom|validat|archiv|lighthouse|page ?speed|ptst|gtmetrix|preview|"
    r"externalhit|screenshot|mediapartners|adsbot|googleother|google-|apis-google|bytespider|gptbot|claude-|perplexity|"
    r"python|curl/|wget|libwww|go-http-client|httpclient|node-fetch|aiohttp|guzzle|java/|heritrix|httrack|nutch|"
    r"synthetic|datadog|dareboost|site24x7|thousandeyes|catchpoint",
    re.IGNORECASE,
)
LONGEST_AGENT = 1000


def of_agent(user_agent: str) -> tuple[str, ...]:
    """Marks of what a shopper's user agent declares itself to be; what stands beyond LONGEST_AGENT is not read."""
    return _of_agent(user_agent[:LONGEST_AGENT])


@lru_cache(maxsize=4096)  # Browsers are few, events are many. What is kept is bounded: agents are anybody's words.
def _of_agent(user_agent: str) -> tuple[str, ...]:
    return (BOT,) if user_agent and _DECLARED.search(user_agent) else ()
