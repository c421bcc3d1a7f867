"""Fixtures for all tests."""

from tests.browser_fixtures import browser, browser_context, watched
from tests.fixtures_library import (
    codec,
    database,
    database_url,
    empty_database,
    envelopes,
    pool,
    producer,
    registry,
    topics,
)
from tests.stack_fixtures import env, stack

__all__ = [
    "browser",
    "browser_context",
    "codec",
    "database",
    "database_url",
    "empty_database",
    "env",
    "envelopes",
    "pool",
    "producer",
    "registry",
    "stack",
    "topics",
    "watched",
]
