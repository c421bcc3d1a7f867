"""Examples in the API's document and in the guide; a test sends each of them."""

from typing import Any

_MUG = {
    "product_id": "mug-7",
    "variant_id": "blue",
    "name": "Blue mug",
    "quantity": 2,
    "unit_price": "12.50",
    "image_url": "https://cdn.example.com/mug-7.jpg",
    "category": "kitchen",
}

CART_EVENTS: dict[str, Any] = {
    "The whole cart, at each change": {
        "event": "cart_updated",
        "event_id": "evt-1001",
        "occurred_at": "2026-03-01T18:30:00Z",
        "cart_id": "cart-42",
        "anonymous_id": "visitor-9",
        "currency": "EUR",
        "lines": [_MUG],
    },
    "An item put in": {
        "event": "item_added",
        "event_id": "evt-1002",
        "occurred_at": "2026-03-01T18:31:00Z",
        "cart_id": "cart-42",
        "lines": [{"product_id": "tea-1", "name": "Green tea", "quantity": 1, "unit_price": 4.9}],
    },
    "A contact, before the checkout is done": {
        "event": "contact_captured",
        "event_id": "evt-1003",
        "occurred_at": "2026-03-01T18:32:00Z",
        "cart_id": "cart-42",
        "anonymous_id": "visitor-9",
        "email": "shopper@example.com",
    },
    "A batch from a phone whose clock may be wrong": {
        "sent_at": "2026-03-01T18:40:00Z",
        "events": [
            {
                "event": "product_viewed",
                "event_id": "evt-1004",
                "occurred_at": "2026-03-01T18:35:00Z",
                "anonymous_id": "visitor-9",
                "product_id": "mug-7",
            },
            {
                "event": "checkout_step",
                "event_id": "evt-1005",
                "occurred_at": "2026-03-01T18:39:00Z",
                "cart_id": "cart-42",
                "step": "shipping",
            },
        ],
    },
}

ORDERS: dict[str, Any] = {
    "An order": {
        "event": "order_placed",
        "order_id": "order-5001",
        "occurred_at": "2026-03-01T19:02:11Z",
        "cart_id": "cart-42",
        "customer_id": "customer-17",
        "email": "shopper@example.com",
        "currency": "EUR",
        "total": "34.90",
        "shipping": "5.00",
        "lines": [_MUG],
    },
    "A refund": {
        "event": "order_refunded",
        "event_id": "refund-88",
        "order_id": "order-5001",
        "refunded": "12.50",
        "reason": "one mug was broken",
    },
}

CUSTOMERS: dict[str, Any] = {
    "A customer who agreed to e-mails": {
        "event_id": "signup-17",
        "customer_id": "customer-17",
        "anonymous_id": "visitor-9",
        "email": "shopper@example.com",
        "locale": "es-ES",
        "time_zone": "Europe/Madrid",
        "properties": {"tier": "gold"},
        "consent": [
            {
                "channel": "email",
                "state": "granted",
                "by": "person",
                "evidence": "checkout form, box unticked by default",
            }
        ],
    },
}

PRODUCTS: dict[str, Any] = {
    "A product, whole, at each change": {
        "product_id": "mug-7",
        "occurred_at": "2026-03-01T09:00:00Z",
        "name": "Blue mug",
        "url": "https://shop.example.com/products/mug-7",
        "image_url": "https://cdn.example.com/mug-7.jpg",
        "price": "12.50",
        "compare_at_price": "15.00",
        "currency": "EUR",
        "stock": 40,
        "category": "kitchen",
        "brand": "Loza",
    },
}
