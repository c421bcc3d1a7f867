"""Every record that may stand on a topic, by the name of its schema."""

from trolleybus.contracts.cart import CartActivity
from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.customers import CustomerProfile, CustomerUpdated, IdentitiesLinked
from trolleybus.contracts.insights import CustomerInsight
from trolleybus.contracts.journeys import HeldOut, JourneyEntered, JourneyExited, JourneySkipped, StepDecided
from trolleybus.contracts.messages import (
    MessageBounced,
    MessageClicked,
    MessageComplained,
    MessageDeferred,
    MessageDelivered,
    MessageInDoubt,
    MessageOpened,
    MessageRefused,
    MessageRequested,
    MessageSent,
    MessageUnsubscribed,
    MessageWithdrawn,
)
from trolleybus.contracts.orders import OrderChanged, OrderPlaced
from trolleybus.contracts.privacy import PrivacyRequested
from trolleybus.contracts.products import Product
from trolleybus.contracts.recovery import CartAbandoned, CartCleared, CartExpired, CartRecovered, CartResumed
from trolleybus.contracts.stores import StoreConfig

Record = (
    CartAbandoned
    | CartActivity
    | CartCleared
    | CartExpired
    | CartRecovered
    | CartResumed
    | ConsentChanged
    | CustomerInsight
    | CustomerProfile
    | CustomerUpdated
    | HeldOut
    | IdentitiesLinked
    | JourneyEntered
    | JourneyExited
    | JourneySkipped
    | MessageBounced
    | MessageClicked
    | MessageComplained
    | MessageDeferred
    | MessageDelivered
    | MessageInDoubt
    | MessageOpened
    | MessageRefused
    | MessageRequested
    | MessageSent
    | MessageUnsubscribed
    | MessageWithdrawn
    | OrderChanged
    | OrderPlaced
    | PrivacyRequested
    | Product
    | StepDecided
    | StoreConfig
)

RECORDS: dict[str, type[Record]] = {
    record.__name__: record
    for record in (
        CartAbandoned,
        CartActivity,
        CartCleared,
        CartExpired,
        CartRecovered,
        CartResumed,
        ConsentChanged,
        CustomerInsight,
        CustomerProfile,
        CustomerUpdated,
        HeldOut,
        IdentitiesLinked,
        JourneyEntered,
        JourneyExited,
        JourneySkipped,
        MessageBounced,
        MessageClicked,
        MessageComplained,
        MessageDeferred,
        MessageDelivered,
        MessageInDoubt,
        MessageOpened,
        MessageRefused,
        MessageRequested,
        MessageSent,
        MessageUnsubscribed,
        MessageWithdrawn,
        OrderChanged,
        OrderPlaced,
        PrivacyRequested,
        Product,
        StepDecided,
        StoreConfig,
    )
}
