"""Fixtures for all tests."""

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
]
