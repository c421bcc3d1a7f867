"""Which database errors are waited for, and which are the work's own."""

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolTimeout

from trolleybus.consumer.processing import backoff
from trolleybus.db import is_outage


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("the connection is lost"),
        PoolTimeout("no connection"),
        errors.AdminShutdown(),
        errors.CannotConnectNow(),
        errors.TooManyConnections(),
        errors.DiskFull(),
        errors.DeadlockDetected(),
        errors.SerializationFailure(),
        errors.LockNotAvailable(),
        errors.ReadOnlySqlTransaction(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_tells_of_the_server_is_waited_for(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.UniqueViolation(),
        errors.NotNullViolation(),
        errors.NumericValueOutOfRange(),
        errors.UndefinedTable(),
        errors.QueryCanceled(),
        errors.ProgramLimitExceeded(),
        psycopg.DataError("a NUL in a text"),
        ValueError("no database error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_one_record_can_cause_is_its_failure(error: Exception) -> None:
    """Else one record with too large a text would be tried for ever, and its partition with it."""
    assert not is_outage(error)


def test_waits_grow_to_a_bound() -> None:
    waits = [backoff(failures, longest=5.0) for failures in range(1, 40)]
    assert all(0.05 <= wait <= 5.0 for wait in waits)
    assert waits[0] <= 0.1
    assert min(waits[10:]) >= 2.5
