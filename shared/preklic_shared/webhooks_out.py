"""Outgoing webhooks: which events there are, and the endpoints that the settings name (`[[webhooks_out]]`)."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

# The states of a mail that are told; those on its way, and what a person lets rest, are not.
MESSAGE_STATES: Final = (
    "sent",
    "bounced",
    "complained",
    "failed",
    "refused",
    "expired",
    "cancelled",
    "in_doubt",
    "dead",
)
EVENTS: Final = (
    *(f"message.{state}" for state in MESSAGE_STATES),
    "permission.granted",
    "permission.withdrawn",
    "person.erased",
    "control.stopped",
)
# One for every mail: only for who asks for it.
BY_REQUEST: Final = "message.sent"


class WebhookOut(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An endpoint that is told of events. `secret_file` holds its secrets, one on a line, the newest first."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_.-]{0,63}$")]
    url: Annotated[str, Meta(max_length=2000)]
    secret_file: Path
    events: tuple[str, ...] = tuple(event for event in EVENTS if event != BY_REQUEST)


def fault_in(endpoints: Sequence[WebhookOut], *, production: bool) -> str | None:
    """What is wrong with these endpoints together, None when nothing is. Never shows a URL: it may hold a secret."""
    if len({one.name for one in endpoints}) < len(endpoints):
        return "two endpoints have the same name"
    for one in endpoints:
        if strange := sorted(set(one.events) - set(EVENTS)):
            return f"{one.name}: there is no event {strange[0]}; there are {', '.join(EVENTS)}"
        if (fault := _fault_in_url(one.url, production=production)) is not None:
            return f"{one.name}: {fault}"
    return None


def _fault_in_url(url: str, *, production: bool) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "the url cannot be read"
    if not host or parts.username is not None or parts.fragment or not url.isascii() or not url.isprintable():
        return "the url must be https://host/path, without user, password and fragment"
    if parts.scheme != "https" and (production or parts.scheme != "http" or not is_loopback(host)):
        return "the url must be https://; http:// is for loopback in development alone"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this very machine.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("127.0.0.1.example")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
