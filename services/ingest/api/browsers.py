"""What a request tells of the shopper's browser, where it comes from one: then it names the page's origin. Where that is, is
told by visitors.py."""

from trolleybus.http.fast import Incoming


def browser_of(request: Incoming) -> str:
    """The agent of a shopper's browser, which names where its page is from; of others it is not the shopper's."""
    return request.headers.get("user-agent", "") if "origin" in request.headers else ""
