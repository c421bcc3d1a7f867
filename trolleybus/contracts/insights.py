"""What is learnt of customers (insights).

Times are milliseconds since the epoch, UTC. An empty value means absent. The schemas are the source of truth.
"""

from trolleybus.contracts.frozen import dataclass
from trolleybus.contracts.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerInsight:
    """What is known of a customer's habits."""

    id: str = ""
    store_id: str = ""
    occurred_at: int = 0
    imported: bool = False
    customer_id: str = ""
    identities: tuple[str, ...] = ()
    recency_days: int = 0
    frequency: int = 0
    monetary: Money = Money()
    cluster: str = ""
    churn: float = 0.0  # Probability, 0 to 1.
    lifetime_value: Money = Money()
    best_hour: int = -1  # Hour of the person's day, -1 unknown.
    best_channel: str = ""
