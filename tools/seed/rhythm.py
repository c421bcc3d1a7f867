"""When people shop: by hour of the day and day of the week, in the store's own time."""

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

# Shares of a day's visits by local hour: a quiet night, a lunch hump, an evening peak.
HOURS = (6, 3, 2, 1, 1, 2, 5, 9, 13, 17, 20, 22, 24, 23, 20, 19, 20, 23, 27, 32, 38, 41, 30, 16)
# Monday to Sunday: Sundays strongest, Saturdays weakest.
DAYS = (11, 10, 10, 10, 9, 8, 13)


def moment(random: Random, now_ms: int, days: int, zone: str) -> int:
    """A time within the last days (ms), but not the last hour, as likely as the rhythm makes it."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    local = now.astimezone(ZoneInfo(zone))
    back = list(range(days + 1))
    while True:
        day = local - timedelta(
            days=random.choices(back, [DAYS[(local - timedelta(days=n)).weekday()] for n in back])[0]
        )
        hour = random.choices(range(24), HOURS)[0]
        at = day.replace(hour=hour, minute=random.randrange(60), second=random.randrange(60), microsecond=0)
        at_ms = int(at.timestamp() * 1000)
        if now_ms - days * 86_400_000 <= at_ms <= now_ms - 3_600_000:
            return at_ms
