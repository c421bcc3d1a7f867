"""Fixtures for all tests, and what holds for all properties."""

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

# No test depends on the speed of the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
