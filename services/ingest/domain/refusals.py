"""When a refusal is told. Whoever sends on at once after each would otherwise keep the gateway as busy as with what it takes."""


class Refusals:
    """Of each store so many are told a second, one after the other; none waits longer than `longest_s`."""

    def __init__(self, *, per_second: float = 500.0, longest_s: float = 1.0) -> None:
        self._interval_s = 1 / per_second
        self._longest_s = longest_s
        self._next_at: dict[str, float] = {}

    def wait_s(self, store_id: str, now: float) -> float:
        """Seconds until one more of the store's is told; `now` in seconds, by any clock that only goes forward."""
        at = min(max(now, self._next_at.get(store_id, now)), now + self._longest_s)
        self._next_at[store_id] = at + self._interval_s
        return at - now
