"""Fixtures for all tests."""

from tests.stack_fixtures import env, stack

__all__ = ["env", "stack"]
