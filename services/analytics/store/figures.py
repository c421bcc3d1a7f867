"""Figures drawn from the facts of one store and one period. What each means stands in docs/figures.md.

Every query names the store. All of them together run in one snapshot.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.analytics.domain.buckets import rolled_up
from services.analytics.domain.experiment import WINDOW_MS, Arm
from services.analytics.domain.intervals import Sample
from services.analytics.store.facts import share
from trolleybus.db import Connection, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whose figures, of which period. Times in ms; `edges` and `hours` cut [start, end)."""

    store_id: str
    start: int
    end: int
    as_of: int
    edges: Sequence[int]
    hours: Sequence[int]
    levels: Sequence[int]  # Seconds: levels that the store has now; those that fired are added.

    def values(self) -> dict[str, Any]:
        return {
            "store": self.store_id,
            "start": self.start,
            "end": self.end,
            "as_of": self.as_of,
            "window": WINDOW_MS,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelCount:
    level_seconds: int
    eligible: int
    abandoned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """How often a level fired, and what was in those carts, in one currency (minor units)."""

    level_seconds: int
    currency: str
    times: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Recovered carts of one currency, with or without a message before the order (minor units)."""

    currency: str
    assisted: bool
    carts: int
    revenue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCount:
    what: str  # refused, deferred, skipped
    rule: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    carts: dict[str, int]
    levels: list[LevelCount]
    fired: list[Fired]
    messages: dict[str, int]
    rules: list[RuleCount]
    recovered: list[Recovered]
    cancelled: int
    treated: Arm
    held_out: Arm
    series: dict[str, list[int]]
    hours: dict[str, list[int]]  # For each of the question's hours.
    consents: list[dict[str, Any]]


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Connection]:
    """One transaction that reads one state of the facts."""
    async with pool.connection() as conn:
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await share(conn)
        yield conn


async def read_figures(conn: Connection, question: Question) -> Figures:
    """All figures of a dashboard."""
    values = question.values()
    edges = max(question.edges, question.hours, key=len)  # The finer of both; the other one's buckets are made of its.
    series = await _series(conn, values, edges)
    fired = [Fired(**row) for row in await _rows(conn, _FIRED, values)]
    levels = sorted({*question.levels, *(one.level_seconds for one in fired)})
    recovered = await _rows(conn, _RECOVERED, values)
    arms = await _rows(conn, _ARMS, values)
    return Figures(
        carts={"opened": sum(series["opened"]), "abandoned": sum(series["abandoned"])}
        | (await _rows(conn, _CARTS, values))[0],
        levels=[LevelCount(**row) for row in await _rows(conn, _LEVELS, values | {"levels": levels})],
        fired=fired,
        messages=(await _rows(conn, _MESSAGES, values))[0],
        rules=[RuleCount(**row) for row in await _rows(conn, _RULES, values)],
        recovered=[
            Recovered(**{name: row[name] for name in ("currency", "assisted", "carts", "revenue")})
            for row in recovered
            if not row["cancelled"]
        ],
        cancelled=sum(row["carts"] for row in recovered if row["cancelled"]),
        treated=_arm([row for row in arms if not row["held_out"]]),
        held_out=_arm([row for row in arms if row["held_out"]]),
        series={name: rolled_up(edges, counts, question.edges) for name, counts in series.items()},
        hours={name: rolled_up(edges, counts, question.hours) for name, counts in series.items()},
        consents=await _rows(conn, _CONSENTS, values),
    )


async def _rows(conn: Connection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return await (await conn.execute(query, values)).fetchall()


async def _series(conn: Connection, values: dict[str, Any], edges: Sequence[int]) -> dict[str, list[int]]:
    """Counts for each bucket that begins at an edge but the last."""
    series = {name: [0] * (len(edges) - 1) for name in ("opened", "abandoned", "recovered")}
    for row in await _rows(conn, _SERIES, values | {"edges": list(edges)}):
        series[row["what"]][row["bucket"] - 1] = row["count"]
    return series


def _arm(rows: Sequence[dict[str, Any]]) -> Arm:
    return Arm(
        journeys=sum(row["journeys"] for row in rows),
        converted=sum(row["converted"] for row in rows),
        revenue={
            row["currency"]: Sample(row["journeys"], float(row["revenue"]), float(row["squares"]))
            for row in rows
            if row["currency"]
        },
    )


_IN_PERIOD = "store_id = %(store)s AND {0} >= %(start)s AND {0} < %(end)s"

_CARTS = f"""
SELECT (SELECT count(*) FROM facts.carts WHERE {_IN_PERIOD.format("first_seen_at")}) AS seen,
       (SELECT count(*) FROM facts.carts WHERE {_IN_PERIOD.format("bot_seen_at")} AND first_seen_at IS NULL) AS bots,
       (SELECT count(*) FROM facts.carts WHERE {_IN_PERIOD.format("incomplete_seen_at")}
           AND first_seen_at IS NULL AND bot_seen_at IS NULL) AS incomplete
"""  # noqa: S608 - put together from constants, as below

_FIRED = f"""
SELECT level_seconds, COALESCE(currency, '') AS currency, count(*) AS times, sum(value_minor)::bigint AS value
FROM facts.abandonments WHERE {_IN_PERIOD.format("due_at")} GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608

# The cohort: carts opened in the period that the level fired on, or that ended, or that were silent for as long as it says.
_LEVELS = f"""
WITH opened AS (
    SELECT levels, last_activity_at,
           ordered_at IS NOT NULL OR expired_at IS NOT NULL OR COALESCE(emptied_at >= last_item_at, false) AS ended
    FROM facts.carts WHERE {_IN_PERIOD.format("first_item_at")}
)
SELECT level AS level_seconds,
       count(*) FILTER (WHERE level = ANY(levels)) AS abandoned,
       count(*) FILTER (WHERE ended OR last_activity_at + level * 1000::bigint <= %(as_of)s OR level = ANY(levels))
           AS eligible
FROM opened CROSS JOIN unnest(%(levels)s::integer[]) AS level GROUP BY level ORDER BY level
"""  # noqa: S608

_MESSAGES = f"""
SELECT count(*) FILTER (WHERE requested_at IS NOT NULL) AS requested,
       count(sent_at) AS sent,
       count(delivered_at) AS delivered,
       count(opened_at) AS opened,
       count(clicked_at) AS clicked,
       count(*) FILTER (WHERE machine_at IS NOT NULL AND opened_at IS NULL AND clicked_at IS NULL) AS machine_only,
       count(bounced_at) AS bounced,
       count(complained_at) AS complained,
       count(unsubscribed_at) AS unsubscribed,
       count(deferred_at) AS deferred,
       count(refused_at) AS refused,
       count(in_doubt_at) FILTER (WHERE COALESCE(sent_at, delivered_at, bounced_at, refused_at) IS NULL) AS in_doubt,
       count(requested_at) FILTER (
           WHERE COALESCE(sent_at, delivered_at, bounced_at, deferred_at, refused_at, in_doubt_at) IS NULL
       ) AS waiting
FROM facts.messages WHERE {_IN_PERIOD.format("first_at")}
"""  # noqa: S608

_RULES = f"""
SELECT 'refused' AS what, COALESCE(refused_rule, '') AS rule, count(*) AS count
FROM facts.messages WHERE {_IN_PERIOD.format("first_at")} AND refused_at IS NOT NULL GROUP BY 2
UNION ALL
SELECT 'deferred', COALESCE(deferred_rule, ''), count(*)
FROM facts.messages WHERE {_IN_PERIOD.format("first_at")} AND deferred_at IS NOT NULL GROUP BY 2
UNION ALL
SELECT 'skipped', COALESCE(rule, ''), count(*) FROM facts.skips WHERE {_IN_PERIOD.format("at")} GROUP BY 2
ORDER BY 1, 3 DESC, 2
"""  # noqa: S608

# Assisted: a message about the cart was sent after it was abandoned and before the order.
_RECOVERED = f"""
WITH ended AS (
    SELECT COALESCE(recovery.currency, '') AS currency, COALESCE(recovery.total_minor, 0) AS total_minor,
           placed.cancelled_at IS NOT NULL AS cancelled,
           EXISTS (
               SELECT FROM facts.messages AS message
               WHERE message.store_id = recovery.store_id AND message.cart_id = recovery.cart_id
                 AND message.sent_at BETWEEN recovery.abandoned_at AND recovery.recovered_at
           ) AS assisted
    FROM facts.recoveries AS recovery LEFT JOIN facts.orders AS placed USING (store_id, order_id)
    WHERE {_IN_PERIOD.format("recovered_at")}
)
SELECT currency, assisted, cancelled, count(*) AS carts, sum(total_minor)::bigint AS revenue
FROM ended GROUP BY 1, 2, 3 ORDER BY 1, 2
"""  # noqa: S608

# A journey converts by an order of its cart or of its person (any identity in common) within the window after it entered.
# Materialised: unnested inside the join, every journey would be held against every order.
_ARMS = f"""
WITH entered AS MATERIALIZED (
    SELECT journey_id, held_out, COALESCE(currency, '') AS currency, entered_at,
           array_append(identities, 'cart id ' || cart_id) AS names
    FROM facts.journeys WHERE {_IN_PERIOD.format("entered_at")} AND (treated OR held_out)
), journeys_named AS MATERIALIZED (
    SELECT journey_id, entered_at, name FROM entered CROSS JOIN unnest(names) AS name
), orders_named AS MATERIALIZED (
    SELECT order_id, placed_at, currency, total_minor, name
    FROM facts.orders CROSS JOIN unnest(array_append(identities, 'cart id ' || cart_id)) AS name
    WHERE store_id = %(store)s AND placed_at >= %(start)s AND placed_at < %(end)s + %(window)s::bigint
      AND cancelled_at IS NULL
), bought AS (
    SELECT DISTINCT journey_id, order_id, orders_named.currency, total_minor
    FROM journeys_named JOIN orders_named USING (name)
    WHERE placed_at >= entered_at AND placed_at < entered_at + %(window)s::bigint
), spent AS (
    SELECT journey_id, currency, sum(total_minor) AS revenue FROM bought GROUP BY 1, 2
), outcome AS (
    SELECT entered.journey_id, held_out, entered.currency,
           bool_or(spent.journey_id IS NOT NULL) AS converted,
           COALESCE(sum(spent.revenue) FILTER (WHERE spent.currency = entered.currency), 0) AS revenue
    FROM entered LEFT JOIN spent USING (journey_id) GROUP BY 1, 2, 3
)
SELECT held_out, currency, count(*) AS journeys, count(*) FILTER (WHERE converted) AS converted,
       sum(revenue) AS revenue, sum(revenue * revenue) AS squares
FROM outcome GROUP BY 1, 2
"""  # noqa: S608

_SERIES = f"""
SELECT 'opened' AS what, width_bucket(first_item_at, %(edges)s::bigint[]) AS bucket, count(*) AS count
FROM facts.carts WHERE {_IN_PERIOD.format("first_item_at")} GROUP BY 2
UNION ALL
SELECT 'abandoned', width_bucket(abandoned_at, %(edges)s::bigint[]), count(*)
FROM facts.carts WHERE {_IN_PERIOD.format("abandoned_at")} GROUP BY 2
UNION ALL
SELECT 'recovered', width_bucket(recovered_at, %(edges)s::bigint[]), count(*)
FROM facts.recoveries WHERE {_IN_PERIOD.format("recovered_at")} GROUP BY 2
"""  # noqa: S608

# The rule of trolleybus.contracts.permission: a person's own no stands until a later yes of that person.
_CONSENTS = """
WITH word AS (
    SELECT channel, COALESCE(person_no_at, 0) AS person_no, COALESCE(person_yes_at, 0) AS person_yes,
           GREATEST(person_no_at, other_no_at, 0) AS no, GREATEST(person_yes_at, other_yes_at, 0) AS yes
    FROM facts.consents WHERE store_id = %(store)s
), judged AS (
    SELECT channel, yes > no AND NOT (person_no > 0 AND person_yes <= person_no) AS granted FROM word
)
SELECT channel, count(*) FILTER (WHERE granted) AS granted, count(*) FILTER (WHERE NOT granted) AS revoked
FROM judged GROUP BY channel ORDER BY channel
"""
