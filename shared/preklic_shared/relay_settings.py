"""Settings of relays: where mail goes out, what each may carry, and what each mailbox provider may get."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

Rate = Annotated[float, Meta(ge=0, le=1_000_000)]


class WarmUp(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new relay's first days: `plan` is mails a day, in order, from the day `start` (UTC). After it: no limit."""

    start: dt.date
    plan: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1, max_length=366)]


RelayProvider = Literal["ses", "sendgrid", "mailgun", "postmark"]
Named = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]


class Relay(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An SMTP server; `processor` names the company behind it.

    `rate` is mails a second over all workers together (0: no limit). `connections` are of each worker process,
    `connections_total` of all together; each carries at most `messages_per_connection` mails. `weight` is this relay's
    share of the mails that several may carry; with `purposes` it carries those alone. `provider`: each mail bears the
    header fields by which its webhooks name the mail; `configuration_set` is of SES, `message_stream` of Postmark.
    """

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$")]
    host: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 25
    tls: Literal["required", "off"] = "required"
    username: str | None = None
    password_file: str | None = None
    processor: str
    rate: Rate = 0
    connections: Annotated[int, Meta(ge=1, le=1000)] = 64
    connections_total: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    messages_per_connection: Annotated[int, Meta(ge=1, le=100_000)] = 100
    weight: Annotated[float, Meta(gt=0, le=1_000_000)] = 1
    purposes: tuple[str, ...] | None = None
    warm_up: WarmUp | None = None
    ca_file: str | None = None
    provider: RelayProvider | None = None
    configuration_set: Named | None = None
    message_stream: Named | None = None


class Limit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What goes to one class of mailbox provider (gmail, outlook, ..., other), over all workers.

    `rate` is mails a second, `connections` how many sessions may be under way with a mail to it at once; a session that
    has carried `messages_per_connection` mails to it is closed. `relay`: by that relay alone; without it, by all of
    them together.
    """

    provider: Annotated[str, Meta(pattern="^[a-z]{1,20}$")]
    rate: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None
    connections: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    messages_per_connection: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    relay: str | None = None


def relay_fault(relays: Sequence[Relay], limits: Sequence[Limit]) -> tuple[str, str] | None:
    """The setting at fault and why; None when all fit together. Pure."""
    names = [relay.name for relay in relays]
    if len(set(names)) < len(names):
        # A name that two relays share would be one switch and one limit for both.
        return "RELAYS", "two relays have the same name; each has a name of its own"
    for relay in relays:
        if relay.configuration_set is not None and relay.provider != "ses":
            return "RELAYS", f'the relay {relay.name}: configuration_set needs provider = "ses"'
        if relay.message_stream is not None and relay.provider != "postmark":
            return "RELAYS", f'the relay {relay.name}: message_stream needs provider = "postmark"'
    if strange := sorted({limit.relay for limit in limits if limit.relay is not None} - set(names)):
        return "LIMITS", f"there is no relay {', '.join(strange)}"
    return _limits_fault(limits)


def _limits_fault(limits: Sequence[Limit]) -> tuple[str, str] | None:
    seen: set[tuple[str | None, str]] = set()
    for limit in limits:
        if limit.rate is limit.connections is limit.messages_per_connection is None:
            return "LIMITS", f"the limit of {limit.provider} needs rate, connections or messages_per_connection"
        if (limit.relay, limit.provider) in seen:
            return "LIMITS", f"two limits of {limit.provider} are for the same relay; put both into one"
        seen.add((limit.relay, limit.provider))
    return None
