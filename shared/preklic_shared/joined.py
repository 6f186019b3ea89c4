"""Joined data (U10) before they are stored: names are held to the contract of `EnrichPayload`, IP addresses are cut.

An IP address is kept as its network alone, /24 (IPv4) or /48 (IPv6): enough for a region, too little for a household.
The producer cuts before it seals, the worker again before it stores.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

V4_BITS: Final = 24
V6_BITS: Final = 48
_PADDED: Final = re.compile(r"\b0+(?=\d)")
# What stands around an address in logs and headers: a port, brackets, a zone (RFC 4007).
_DRESSED: Final = re.compile(r"\[(?P<six>[^\]]+)](?::\d{1,5})?|(?P<four>\d+(?:\.\d+){3}):\d{1,5}")

Value = str | int | float | bool
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NoIpAddress(ValueError):
    """A field that says it is an IP address and cannot be cut as one; `field` is its name, never its value."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def shortened(data: Mapping[str, Value]) -> dict[str, Value]:
    """`data` with every IP address cut to its network; repeating it changes nothing. Raises NoIpAddress.

    >>> shortened({"ip": "203.0.113.77", "first_visit": "2001:db8:1:2::3", "city": "Kranj"})
    {'ip': '203.0.113.0/24', 'first_visit': '2001:db8:1::/48', 'city': 'Kranj'}
    """
    return {name: _cut(name, value) for name, value in data.items()}


def _cut(name: str, value: Value) -> Value:
    networks = _networks(value) if isinstance(value, str) else None
    if networks is not None:
        return ", ".join(map(str, networks))
    if name.lower() == "ip" and value != "":
        raise NoIpAddress(name)
    return value


def _networks(text: str) -> list[_Network] | None:
    """The networks of a text that is one address or a list of them (as in X-Forwarded-For), else None."""
    found = [_network(part) for part in unicodedata.normalize("NFKC", text).split(",")]
    known = [network for network in found if network is not None]
    return known if len(known) == len(found) else None


def _network(text: str) -> _Network | None:
    bare = text.strip()
    dressed = _DRESSED.fullmatch(bare)
    plain = bare if dressed is None else dressed["six"] or dressed["four"]
    # Octets with leading zeros are addresses to many programs, and to this library none.
    unpadded = plain if ":" in plain else _PADDED.sub("", plain)
    try:
        return _outer(ipaddress.ip_interface(unpadded.partition("%")[0] + _prefix(unpadded)))
    except ValueError:
        return None


def _prefix(text: str) -> str:
    """The prefix length after a zone: `fe80::1%eth0/64`."""
    zone = text.partition("%")[2]
    return f"/{zone.partition('/')[2]}" if "/" in zone else ""


def _outer(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> _Network:
    """The network that is kept. An IPv6 form that carries an IPv4 address is cut as that one."""
    if isinstance(interface, ipaddress.IPv6Interface):
        inner = interface.ip.ipv4_mapped or interface.ip.sixtofour
        if inner is None:
            return ipaddress.ip_network((interface.ip, min(V6_BITS, interface.network.prefixlen)), strict=False)
        return ipaddress.ip_network((inner, V4_BITS), strict=False)
    return ipaddress.ip_network((interface.ip, min(V4_BITS, interface.network.prefixlen)), strict=False)
