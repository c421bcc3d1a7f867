"""IP addresses, as proxies write them into headers."""

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

_NETWORK_BITS = 64
"""Of IPv6, what one household or telephone has (RFC 6177)."""


def last_address(text: str) -> Address | None:
    """The last of a header's comma-separated addresses, which the nearest proxy wrote; None where that is none. A port may
    follow it, IPv6 may stand in brackets."""
    written = text.rpartition(",")[2].strip()
    if written.startswith("["):
        written = written[1:].partition("]")[0]
    elif written.count(":") == 1:
        written = written.partition(":")[0]
    try:
        found = ip_address(written.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def household(address: Address) -> bytes:
    """What tells one from another: the address, of IPv6 its network's half."""
    return address.packed[: _NETWORK_BITS // 8] if isinstance(address, IPv6Address) else address.packed
