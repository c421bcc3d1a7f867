"""The native endpoints, and how the API's document describes them."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from services.ingest.adapters import native, native_products
from services.ingest.adapters.native_short import ShortWay
from services.ingest.api import examples
from services.ingest.api.native import Endpoint, NativeIntake, P
from services.ingest.api.payloads import CartEvent, CatalogueProduct, Customer, Order, Payload
from services.ingest.api.plain import PlainIntake
from services.ingest.api.quick import reader_of
from services.ingest.domain.access import CARTS, CUSTOMERS, ORDERS, PRODUCTS
from trolleybus.http.fast import Take

_REFERENCE = "#/components/schemas/{model}"
_EVENTS_OF: tuple[type[Payload], ...] = (CartEvent, Order, Customer, CatalogueProduct)

_read_cart_event = reader_of(CartEvent)
TAKE_ORDERS = Endpoint(native.SOURCE, ORDERS, "orders", Order, native.order, reader_of(Order))
TAKE_CUSTOMERS = Endpoint(native.SOURCE, CUSTOMERS, "customers", Customer, native.customer, reader_of(Customer))
TAKE_PRODUCTS = Endpoint(
    native.SOURCE, PRODUCTS, "products", CatalogueProduct, native_products.product, reader_of(CatalogueProduct)
)


class FieldProblem(BaseModel):
    """What is wrong with a field; a JSON pointer into the body."""

    field: str = Field(examples=["/events/0/lines/0/unit_price"])
    detail: str = Field(examples=["an amount is not negative"])


class EventResult(BaseModel):
    """What became of one event."""

    status: str = Field(description="accepted or refused", examples=["accepted"])
    id: str = Field("", description="The event's id in Trolleybus; a repeat has the same.")
    warnings: list[FieldProblem] = Field(
        [], description="What was left out of an accepted event, since it was not readable."
    )
    errors: list[FieldProblem] = Field([], description="Why it was refused.")


class Results(BaseModel):
    """A result an event, in the order sent."""

    results: list[EventResult]


class ProblemDetails(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    request_id: str = ""
    errors: list[FieldProblem] = []


_PROBLEM: dict[str, Any] = {
    "content": {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(model="ProblemDetails")}}}
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"model": Results, "description": "Every in-sync replica of Kafka has the accepted events."},
    400: {**_PROBLEM, "description": "Not JSON; says where."},
    401: {**_PROBLEM, "description": "No key, or one that no store has."},
    403: {**_PROBLEM, "description": "The key may not do this, or not from this origin."},
    413: {**_PROBLEM, "description": "More than 1 MiB, after decompression."},
    415: {
        **_PROBLEM,
        "description": "Not application/json (or text/plain, as beacons have it), or compressed otherwise than by gzip or br.",
    },
    422: {**_PROBLEM, "description": "A single event was refused, or the list is no list of events; names the fields."},
    429: {**_PROBLEM, "description": "Too many events; Retry-After says when to come again."},
    503: {**_PROBLEM, "description": "Kafka did not take it; send the same again after Retry-After."},
}


def track(short: ShortWay) -> Endpoint[CartEvent]:
    """Where cart events come in, most of them plain."""
    return Endpoint(native.SOURCE, CARTS, "events", CartEvent, native.cart_event, _read_cart_event, short)


def native_router(intake: NativeIntake, tracking: Endpoint[CartEvent]) -> APIRouter:
    """The endpoints of a shop's own site, app or server."""
    router = APIRouter(prefix="/api/v1", tags=["Events"])

    @router.post(
        "/carts/track",
        status_code=202,
        summary="What shoppers do with their carts",
        description='One event, or up to 500 as `{"events": [...], "sent_at": ...}`. A write key may send it from the shop\'s pages.',
        responses=_RESPONSES,
        openapi_extra=_body(CartEvent, "events", examples.CART_EVENTS),
    )
    async def track(request: Request) -> Response:
        return await intake.handle(request, tracking)

    @router.post(
        "/orders",
        status_code=202,
        summary="Orders: placed, paid, refunded, cancelled",
        description='One, or up to 500 as `{"orders": [...]}`. From the shop\'s server, with a secret key.',
        responses=_RESPONSES,
        openapi_extra=_body(Order, "orders", examples.ORDERS),
    )
    async def orders(request: Request) -> Response:
        return await intake.handle(request, TAKE_ORDERS)

    @router.post(
        "/customers",
        status_code=202,
        summary="Customers: traits, identities, consent",
        description='One, or up to 500 as `{"customers": [...]}`. A write key speaks for the person only.',
        responses=_RESPONSES,
        openapi_extra=_body(Customer, "customers", examples.CUSTOMERS),
    )
    async def customers(request: Request) -> Response:
        return await intake.handle(request, TAKE_CUSTOMERS)

    @router.post(
        "/products",
        status_code=202,
        summary="The catalogue: products, whole",
        description='One, or up to 500 as `{"products": [...]}`. From the shop\'s server, with a secret key.',
        responses=_RESPONSES,
        openapi_extra=_body(CatalogueProduct, "products", examples.PRODUCTS),
    )
    async def products(request: Request) -> Response:
        return await intake.handle(request, TAKE_PRODUCTS)

    return router


def takers(intake: PlainIntake, tracking: Endpoint[CartEvent]) -> dict[bytes, Take]:
    """The same, by path, for the way past the framework."""

    def of(endpoint: Endpoint[P]) -> Take:
        return partial(intake.begin, endpoint=endpoint)

    return {
        b"/api/v1/carts/track": of(tracking),
        b"/api/v1/orders": of(TAKE_ORDERS),
        b"/api/v1/customers": of(TAKE_CUSTOMERS),
        b"/api/v1/products": of(TAKE_PRODUCTS),
    }


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Adds what the framework cannot see, since bodies are read by hand: their schemas, and the keys."""
    models: tuple[type[BaseModel], ...] = (*_EVENTS_OF, ProblemDetails)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas["$defs"])
    components["securitySchemes"] = {
        "operator": {"type": "http", "scheme": "bearer", "description": "The operator's token."},
        "bearer": {"type": "http", "scheme": "bearer", "description": "A store's write or secret key."},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as user, no password."},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "page": {"type": "apiKey", "in": "query", "name": "write_key", "description": "A write key, from a page."},
    }
    return document


def _body(model: type[Payload], list_name: str, shown: dict[str, Any]) -> dict[str, Any]:
    one = {"$ref": _REFERENCE.format(model=model.__name__)}
    many = {
        "type": "object",
        "required": [list_name],
        "additionalProperties": False,
        "properties": {
            list_name: {"type": "array", "minItems": 1, "maxItems": 500, "items": one},
            "sent_at": {"type": "string", "format": "date-time", "description": "For all, by the sender's clock."},
        },
    }
    content = {
        "schema": {"anyOf": [one, many], "examples": list(shown.values())},
        "examples": {name: {"value": value} for name, value in shown.items()},
    }
    return {
        "requestBody": {"required": True, "content": {"application/json": content}},
        "security": [{"bearer": []}, {"basic": []}, {"key": []}, {"page": []}],
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Names the request where events have no event_id; a retry with the same key counts once.",
                "schema": {"type": "string", "maxLength": 200},
            }
        ],
    }
