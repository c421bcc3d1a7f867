"""Room that stores share: one may hold at most as much as is still free, so that a flood of one leaves room for others."""

from collections import defaultdict


class Room:
    """Counts what each store holds, in any unit."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held: defaultdict[str, int] = defaultdict(int)
        self.total = 0

    def is_full(self) -> bool:
        return self.total >= self._capacity

    def fits(self, store_id: str, amount: int) -> bool:
        """Whether a store may take so much more; where nothing is held, anything fits."""
        return self.total == 0 or self._held.get(store_id, 0) + amount <= self._capacity - self.total - amount

    def take(self, store_id: str, amount: int) -> None:
        self._held[store_id] += amount
        self.total += amount

    def give_back(self, store_id: str, amount: int) -> None:
        self.total -= amount
        self._held[store_id] -= amount
        if not self._held[store_id]:
            del self._held[store_id]
