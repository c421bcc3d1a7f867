"""What a request tells of the shopper's browser, where it comes from one: then it names the page's origin."""

from trolleybus.http.fast import Incoming


def browser_of(request: Incoming) -> str:
    """The agent of a shopper's browser, which names where its page is from; of others it is not the shopper's."""
    return request.headers.get("user-agent", "") if "origin" in request.headers else ""


def country_in(request: Incoming, header: str) -> str:
    """The country that a header names, for a shopper's browser; where a server sends, it is not the shopper's."""
    found = request.headers.get(header, "") if "origin" in request.headers else ""
    return (
        found if len(found) == 2 and found.isascii() and found.isalpha() and found.isupper() and found != "XX" else ""
    )
