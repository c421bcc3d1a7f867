"""Figures and facts as the API tells them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from services.analytics.api import models
from services.analytics.api.periods import Asked, zone_of
from services.analytics.domain.buckets import DAY_MS, local
from services.analytics.domain.carts import CartTimes, state_of
from services.analytics.domain.experiment import WINDOW_MS, Arm, revenue_gaps, uplift, verdict
from services.analytics.domain.intervals import Interval
from services.analytics.store.carts import Happened
from services.analytics.store.figures import Figures, Recovered, RuleCount
from trolleybus.contracts.stores import StoreConfig


def store_model(store: StoreConfig) -> models.Store:
    return models.Store(
        store_id=store.store_id,
        name=store.name,
        currency=store.currency,
        time_zone=store.time_zone,
        language=store.language,
        active=store.active,
    )


def dashboard_model(store: StoreConfig, asked: Asked, figures: Figures, as_of: int) -> models.Dashboard:
    recovered = _recovered(figures)

    def moment(at: int) -> str:
        return local(at, asked.zone).isoformat(timespec="seconds")

    starts = asked.edges[:-1]
    return models.Dashboard(
        store=store_model(store),
        period=models.Period(
            start=moment(asked.start), end=moment(asked.end), bucket=asked.bucket, time_zone=asked.zone.key
        ),
        as_of=moment(as_of),
        carts=models.Carts(**figures.carts, recovered=recovered.carts),
        levels=_levels(figures, store.levels),
        messages=models.Messages(
            **figures.messages,
            refused_by_rule=_rules(figures.rules, "refused"),
            deferred_by_rule=_rules(figures.rules, "deferred"),
            skipped_by_rule=_rules(figures.rules, "skipped"),
        ),
        recovered=recovered,
        experiment=experiment_model(figures.treated, figures.held_out),
        series=models.Series(starts=[moment(at) for at in starts], starts_ms=starts, **figures.series),
        hours=_hours(figures, asked),
        consent=[models.Consent(**row) for row in figures.consents],
    )


def _levels(figures: Figures, of_store: Iterable[int]) -> list[models.Level]:
    cohorts = {level.level_seconds: level for level in figures.levels}
    fired = defaultdict(list)
    for one in figures.fired:
        fired[one.level_seconds].append(one)
    found = []
    for seconds in sorted({*of_store, *cohorts, *fired}):
        cohort = cohorts.get(seconds)
        eligible, abandoned = (cohort.eligible, cohort.abandoned) if cohort else (0, 0)
        found.append(
            models.Level(
                level_seconds=seconds,
                label=duration(seconds),
                eligible=eligible,
                abandoned=abandoned,
                rate=abandoned / eligible if eligible else None,
                fired=sum(one.times for one in fired[seconds]),
                value=[models.Amount.of(one.value, one.currency) for one in fired[seconds]],
            )
        )
    return found


def _rules(rules: Iterable[RuleCount], what: str) -> list[models.Rule]:
    return [models.Rule(rule=rule.rule, count=rule.count) for rule in rules if rule.what == what]


def _recovered(figures: Figures) -> models.Recovered:
    by_currency: dict[str, list[Recovered]] = defaultdict(list)
    for one in figures.recovered:
        by_currency[one.currency].append(one)

    def carts(some: Iterable[Recovered], *, assisted: bool) -> int:
        return sum(one.carts for one in some if one.assisted is assisted)

    def amount(some: Iterable[Recovered], currency: str, *, assisted: bool) -> models.Amount:
        return models.Amount.of(sum(one.revenue for one in some if one.assisted is assisted), currency)

    return models.Recovered(
        carts=sum(one.carts for one in figures.recovered),
        assisted=carts(figures.recovered, assisted=True),
        unassisted=carts(figures.recovered, assisted=False),
        cancelled=figures.cancelled,
        revenue=[
            models.Revenue(
                currency=currency,
                carts=sum(one.carts for one in some),
                total=models.Amount.of(sum(one.revenue for one in some), currency),
                assisted_carts=carts(some, assisted=True),
                assisted=amount(some, currency, assisted=True),
                unassisted_carts=carts(some, assisted=False),
                unassisted=amount(some, currency, assisted=False),
            )
            for currency, some in sorted(by_currency.items())
        ],
    )


def experiment_model(treated: Arm, held_out: Arm) -> models.Experiment:
    found = uplift(treated, held_out)
    return models.Experiment(
        window_days=WINDOW_MS // DAY_MS,
        treated=models.ArmFigures(journeys=treated.journeys, converted=treated.converted, rate=treated.rate),
        held_out=models.ArmFigures(journeys=held_out.journeys, converted=held_out.converted, rate=held_out.rate),
        uplift=found[0] if found else None,
        interval_95=_interval(found[1]) if found else None,
        verdict=verdict(treated, held_out),
        text=_verdict_text(treated, held_out),
        revenue_per_journey=[
            models.RevenueGap(
                currency=currency,
                treated=treated.revenue[currency].mean,
                held_out=held_out.revenue[currency].mean,
                difference=gap,
                interval_95=_interval(interval) if interval else None,
            )
            for currency, (gap, interval) in revenue_gaps(treated, held_out).items()
        ],
    )


def _interval(interval: Interval) -> models.Interval95:
    return models.Interval95(low=interval.low, high=interval.high)


def _verdict_text(treated: Arm, held_out: Arm) -> str:
    found = uplift(treated, held_out)
    if found is None:
        return "Nothing to compare yet: it takes carts that were written to and carts that were held out."
    low, high = found[1].low * 100, found[1].high * 100
    span = f"between {low:+.1f} and {high:+.1f} percentage points"
    match verdict(treated, held_out):
        case "too_few":
            return f"Not yet enough to tell: fewer than 30 carts on one side. So far {span} is possible."
        case "open":
            return f"Not yet enough to tell: {span} is possible, nothing at all included."
        case "better":
            return f"The messages bring orders that would not have come: {span} more carts end in an order."
        case _:
            return f"The messages do harm: the share of carts that end in an order changes by {span}."


def _hours(figures: Figures, asked: Asked) -> models.Hours:
    by_hour = {name: [0] * 24 for name in figures.hours}
    for index, begin in enumerate(asked.hours[:-1]):
        hour = local(begin, asked.zone).hour
        for name, counts in figures.hours.items():
            by_hour[name][hour] += counts[index]
    return models.Hours(**by_hour)


def carts_model(store: StoreConfig, rows: Sequence[dict[str, Any]], happened: Sequence[Happened]) -> list[models.Cart]:
    """Carts with their state and time line."""
    zone = zone_of(store)
    of_cart: dict[str, list[Happened]] = defaultdict(list)
    for one in happened:
        of_cart[one.cart_id].append(one)
    found = []
    for row in rows:
        events = of_cart[row["cart_id"]]
        times = CartTimes(
            **{name: row[name] for name in ("last_item_at", "last_activity_at", "emptied_at", "ordered_at")},
            **{name: row[name] for name in ("expired_at", "recovered_at")},
        )
        state = state_of(
            times,
            [one.at for one in events if one.what == "abandoned"],
            [one.at for one in events if one.what == "message_sent"],
        )
        line = [_event("opened", row["first_item_at"], zone), *(_happened(one, zone) for one in events)]
        if times.ordered_at and not any(one.what == "recovered" for one in events):
            line.append(_event("ordered", times.ordered_at, zone))
        found.append(
            models.Cart(
                cart_id=row["cart_id"],
                state=state,
                opened_at=local(row["first_item_at"], zone).isoformat(timespec="milliseconds"),
                last_activity_at=local(row["last_activity_at"], zone).isoformat(timespec="milliseconds"),
                contact_known=row["contact_known"],
                imported=row["imported"],
                time_line=sorted(line, key=lambda event: event.at_ms),
            )
        )
    return found


def _event(what: str, at: int, zone: Any, **more: Any) -> models.Event:
    return models.Event(at=local(at, zone).isoformat(timespec="milliseconds"), at_ms=at, what=what, **more)


def _happened(one: Happened, zone: Any) -> models.Event:
    return _event(
        one.what,
        one.at,
        zone,
        level_seconds=one.level_seconds,
        message_id=one.message_id,
        detail=one.detail,
        amount=models.Amount.of(one.minor, one.currency or "") if one.minor is not None else None,
    )


def duration(seconds: int) -> str:
    """A level as a person writes it: 15 s, 45 min, 24 h."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
