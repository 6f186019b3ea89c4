"""DNS as asked at one given server, and at no other: what a receiver would see may differ from this host's own view."""

import ipaddress
from typing import Any, Final

import dns.exception
import dns.resolver
from dns.rdatatype import MX, TXT, RdataType

SECONDS: Final = 5.0  # for one question with all its tries
_PORT: Final = 53
_MOST_RECORDS: Final = 50


class NoAnswer(Exception):
    """The resolver did not answer, or said that it cannot; the message names the question's domain."""


class Resolver:
    """Asks the server at `place`: an IP address, with a port or without: `9.9.9.9`, `127.0.0.1:5353`, `[::1]:53`.

    ValueError for anything else.
    """

    def __init__(self, place: str, *, seconds: float = SECONDS) -> None:
        host, port = split(place)
        self.place = place
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [host]
        self._resolver.port = port
        self._resolver.lifetime = seconds
        self._resolver.timeout = min(2.0, seconds)

    def texts(self, name: str) -> list[str]:
        """The TXT records of `name`, each put together from its strings; none when there is no such name."""
        return [b"".join(record.strings).decode("utf-8", "replace") for record in self._ask(name, TXT)]

    def exchanges(self, name: str) -> list[str]:
        """The hosts of the MX records, best first; a null MX (RFC 7505) is an empty name."""
        records = sorted(self._ask(name, MX), key=lambda record: record.preference)
        return [record.exchange.to_text(omit_final_dot=True).removesuffix(".") for record in records]

    def _ask(self, name: str, kind: RdataType) -> list[Any]:
        try:
            found = self._resolver.resolve(f"{name}.", kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise NoAnswer(f"{name}: {type(error).__name__}") from None
        return list(found)[:_MOST_RECORDS]


def split(place: str) -> tuple[str, int]:
    """Address and port.

    >>> split("127.0.0.1:5353"), split("[::1]:54"), split("::1")
    (('127.0.0.1', 5353), ('::1', 54), ('::1', 53))
    """
    host, port = place, str(_PORT)
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif place.count(":") == 1:
        host, _, port = place.partition(":")
    ipaddress.ip_address(host)
    number = int(port)
    if not 0 < number < 65536:
        raise ValueError("a port is a number up to 65535")
    return host, number
