"""Fixtures for all tests, and what holds for all properties."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

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


@pytest.fixture(scope="module", autouse=True)
def _leaks_are_found_where_they_are_made() -> Iterator[None]:
    """What a module's tests left open fails the last of them, not whichever test the collector happens to run in."""
    yield
    gc.collect()


# No test depends on the speed of the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
