"""Who is asking, for the length of a request: nothing of it is kept, and only a trusted proxy is believed."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

MISSES_A_MINUTE: Final = 60
CHECKS_A_MINUTE: Final = 300
_MINUTE: Final = 60.0
_KEYS: Final = 10_000

Network = IPv4Network | IPv6Network


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The trusted proxies' addresses or networks; ValueError when one is neither."""
    return tuple(ip_network(text, strict=False) for text in texts)


def client_of(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The client's address: the peer's, unless a trusted proxy says whom it speaks for.

    >>> client_of("203.0.113.9", "10.1.1.1", ())
    '203.0.113.9'
    >>> client_of("127.0.0.1", "10.1.1.1, 198.51.100.7", networks(["127.0.0.1"]))
    '198.51.100.7'
    """
    for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if not within(peer, trusted):
            break
        peer = hop
    return peer


def household(client: str) -> str:
    """The unit that a limit counts: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        address = ip_address(client)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False).network_address)
    return str(address)


class Ceiling:
    """Counts by key and minute, in memory, up to `limit`. The key that was counted longest ago is forgotten first."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, key: str) -> None:
        """One more of this key."""
        begun, count = self._current(key)
        self._counts[key] = (begun, count + 1)
        self._counts.move_to_end(key)
        if len(self._counts) > _KEYS:
            self._counts.popitem(last=False)

    def below(self, key: str) -> bool:
        """Whether this key has not reached the limit in its present minute."""
        return self._current(key)[1] < self._limit

    def _current(self, key: str) -> tuple[float, int]:
        now = self._clock()
        begun, count = self._counts.get(key, (now, 0))
        return (begun, count) if now - begun < _MINUTE else (now, 0)


def within(address: str, trusted: Sequence[Network]) -> bool:
    """Whether the address lies in one of these networks."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
