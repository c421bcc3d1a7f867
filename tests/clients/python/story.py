"""One shopper's way through a shop, told by Segment's Python library: HOST and WRITE_KEY say where to."""

import os
import sys

from segment.analytics import Client

CUP = {"product_id": "cup-1", "name": "A cup", "price": 12.5, "quantity": 2}


def tell(client: Client) -> None:
    shopper = {"user_id": "python-customer", "anonymous_id": "python-visitor"}
    client.identify(traits={"email": "python@example.com", "firstName": "Alex"}, **shopper)
    client.alias(previous_id="python-former", user_id="python-customer")
    client.page(name="Home", **shopper)
    client.screen(name="Home", **shopper)
    client.group(group_id="club", **shopper)
    client.track(event="Product Added", properties={"cart_id": "python-cart", **CUP}, **shopper)
    client.track(event="Cart Viewed", properties={"cart_id": "python-cart", "products": [CUP]}, **shopper)
    order = {"cart_id": "python-cart", "order_id": "python-order", "total": 25, "currency": "EUR", "products": [CUP]}
    client.track(event="Order Completed", properties=order, **shopper)


failures: list[str] = []
for compressed in (False, True):
    story = Client(
        os.environ["WRITE_KEY"],
        host=os.environ["HOST"],
        gzip=compressed,
        max_retries=1,
        on_error=lambda error, _: failures.append(str(error)),
    )
    tell(story)
    story.shutdown()
sys.exit("\n".join(failures) or 0)
