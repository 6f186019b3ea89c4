"""The client that a website imports: publishes events, and asks what became of them."""

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Required, Self, TypedDict, Unpack

from preklic_producers import campaigns
from preklic_producers.courier import Courier, Receipt
from preklic_producers.drafts import Drafter
from preklic_producers.fields import Expires, Rejected, address_of, id_of
from preklic_producers.http_client import GatewayClient
from preklic_producers.outbox import Outbox, Parcel
from preklic_producers.seals import Seals
from preklic_shared.broker import PreklicBroker
from preklic_shared.jobs import Proof
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings, SettingsError, load_settings

Event = Literal["opened", "clicked", "delivered", "deferred", "bounced", "complained"]


class Mail(TypedDict, total=False):
    """One mail of `send_many`: the arguments of `send` by name."""

    to: Required[str]
    purpose: Required[str]
    template: Required[str]
    data: Mapping[str, Any]
    ref: str
    idempotency_key: str
    after: Receipt | str
    send_at: datetime
    expires: Expires
    reply_to: str


class Status(NamedTuple):
    """How a job stands: a state of design's "states of a mail", with its reason where it has one."""

    job_id: str
    state: str
    reason: str | None


class Producer:
    """Publishes jobs, each confirmed by the broker (or fsynced in the outbox) before its call returns.

    Every call raises `Rejected`, with the field at fault, before anything is sent, or `Unavailable` within
    `deadline` seconds. Safe in threads and after a fork; a context manager. In asyncio:
    `await asyncio.to_thread(producer.send, ...)`.
    """

    def __init__(self, settings: Settings, *, deadline: float = 2.0) -> None:
        """SettingsError, RegistryError or SealingError when a producer cannot work with these settings."""
        if settings.sealing_keys is None:
            raise SettingsError("SEALING_KEYS", "a producer needs the file that `preklic keys publish` writes")
        pin = None if settings.sealing_pin is None else bytes.fromhex(settings.sealing_pin)
        seals = Seals(settings.sealing_keys, pin)
        self._drafts = Drafter(settings.producer, load_registry(settings.registry), seals)
        self._gateway = GatewayClient(settings.gateway_url, _bearer(settings))
        self._broker = PreklicBroker(settings.amqp_url, deadline=deadline)
        box = None if settings.outbox is None else Outbox(settings.outbox)
        self._courier = Courier(self._broker.publish_many, box)

    @classmethod
    def from_env(cls) -> Self:
        """A producer by the environment's `PREKLIC_*`; SettingsError names what is missing."""
        return cls(load_settings(os.environ))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. What waits in the outbox stays there for the next start."""
        self._courier.close()
        self._broker.close()

    def send(
        self,
        to: str,
        purpose: str,
        template: str,
        data: Mapping[str, Any] | None = None,
        *,
        ref: str | None = None,
        attachments: Iterable[object] = (),
        idempotency_key: str | None = None,
        after: Receipt | str | None = None,
        send_at: datetime | None = None,
        expires: Expires = None,
        reply_to: str | None = None,
    ) -> Receipt:
        """One mail to one person, if the person permits `purpose` when it is about to leave.

        `after` is the receipt of a job (a grant) that must be recorded first; `ref` the website's own name for the
        person; `expires` a time span or an aware datetime (default: the purpose's own); the same
        `idempotency_key` is the same mail. `attachments` are `preklic_shared.attachments.Attachment`
        or mappings of `name`, `type` and `content` (bytes): at most 10, 375,000 octets together, of the types that
        module lists. `send_at`: an aware datetime, up to 21 days ahead; the mail waits until then, and a withdrawal of
        its purpose cancels it. The default of `expires` counts from it.
        """
        return self._hand_over(
            self._drafts.send(
                to,
                purpose,
                template,
                data,
                ref=ref,
                attachments=tuple(attachments),
                idempotency_key=idempotency_key,
                after=_job_id(after),
                send_at=send_at,
                expires=expires,
                reply_to=reply_to,
            )
        )

    def send_many(self, mails: Iterable[Mail]) -> list[Receipt]:
        """Many mails with pipelined confirms; a receipt for each, in order.

        All are checked before the first is sent: `Rejected.field` is then "<position>.<field>". When some were not
        taken, `Unavailable.receipts` says which were.
        """
        parcels = [self._draft(position, mail) for position, mail in enumerate(mails)]
        return self._courier.hand_over(parcels)

    def grant(
        self,
        address: str,
        purposes: str | Iterable[str],
        *,
        proof: Proof,
        ref: str | None = None,
        confirmed: bool = False,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Permissions that a person gave, with the proof. `confirmed`: the address is proven (double opt-in)."""
        return self._hand_over(
            self._drafts.grant(
                address, purposes, proof=proof, ref=ref, confirmed=confirmed, idempotency_key=idempotency_key
            )
        )

    def revoke(
        self,
        address_or_ref: str,
        purposes: str | Iterable[str] = "all",
        *,
        reason: str,
        erase: bool = False,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """A withdrawal: no mail for these purposes leaves after it is applied. `reason` must hold no address.

        `erase`: the person asks to be erased (GDPR 17): all purposes end, and what no open contract keeps is deleted.
        """
        return self._hand_over(
            self._drafts.revoke(address_or_ref, purposes, reason=reason, erase=erase, idempotency_key=idempotency_key)
        )

    def campaign(
        self,
        name: str,
        purpose: str,
        template: str,
        data: Mapping[str, Any] | None = None,
        **details: Unpack[campaigns.Details],
    ) -> Receipt:
        """Start a campaign: one mail to everybody who permits `purpose`. The same words again are the same campaign."""
        return self._hand_over(campaigns.start(self._drafts, name, purpose, template, data, details))

    def enrich(
        self,
        address_or_ref: str,
        group: Literal["profile", "service", "payments", "recovery", "court"],
        data: Mapping[str, str | float | bool],
        *,
        source: str,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Fields of one group joined to a person; `source` says where they came from (U10)."""
        return self._hand_over(
            self._drafts.enrich(address_or_ref, group, data, source=source, idempotency_key=idempotency_key)
        )

    def track(
        self,
        token_or_message: str,
        kind: Event,
        *,
        person: str | None = None,
        link: int | None = None,
    ) -> Receipt:
        """One event of a mail. With `person` (32 hex digits) the first argument is the mail's job id.

        Without, it is the token of a link or pixel, which the gateway alone can check: it is asked over HTTP.
        """
        if person is None:
            answer = self._gateway.post("/v1/events", {"token": token_or_message, "kind": kind})
            return Receipt(str(answer["id"]), "stored" if answer["status"] == "stored" else "queued")
        return self._hand_over(self._drafts.track(token_or_message, _pid(person), kind, link=link))

    def check(self, address: str) -> bool:
        """Whether the address belongs to an existing customer (U6); the gateway records and limits the question."""
        answer = self._gateway.post("/v1/customers/check", {"address": address_of(address, "address")})
        return bool(answer["existing"])

    def status(self, job_id: str) -> Status:
        """How a job stands; Rejected when the id is unknown."""
        answer = self._gateway.get("/v1/messages", id_of(job_id, "job_id"))
        return Status(str(answer["id"]), str(answer["status"]), answer.get("reason"))

    def _hand_over(self, parcel: Parcel) -> Receipt:
        return self._courier.hand_over([parcel])[0]

    def _draft(self, position: int, mail: Mail) -> Parcel:
        try:
            arguments: dict[str, Any] = {**mail, "after": _job_id(mail.get("after"))}
            return self._drafts.send(**arguments)
        except Rejected as error:
            raise Rejected(f"{position}.{error.field}", error.message) from None
        except TypeError:
            raise Rejected(f"{position}", "lacks a field, or has one that is unknown") from None


def _job_id(after: Receipt | str | None) -> str | None:
    return after.job_id if isinstance(after, Receipt) else after


def _pid(person: str) -> bytes:
    try:
        return bytes.fromhex(person)
    except ValueError:
        raise Rejected("person", "is not 32 hex digits") from None


def _bearer(settings: Settings) -> str | None:
    if settings.gateway_token is not None or settings.token_file is None:
        return settings.gateway_token
    try:
        return settings.token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingsError("TOKEN_FILE", f"cannot read {settings.token_file}") from None
