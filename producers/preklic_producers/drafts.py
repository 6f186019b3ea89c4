"""What a website asks for, checked field by field and turned into a sealed job. Nothing is sent from here.

Everything that can be known before sending is refused here, with the field at fault: the website hears it at once,
and no job that must fail enters the queue. The workers check it all again.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec

from preklic_producers.contracts import built, checked, joined, now_millis, parcel, proof_of
from preklic_producers.enclosing import attachments_of
from preklic_producers.fields import (
    Expires,
    Rejected,
    address_of,
    expires_of,
    id_of,
    json_object,
    key_of,
    millis,
    person_of,
    purposes_of,
    send_at_of,
    text_of,
)
from preklic_producers.outbox import Parcel
from preklic_producers.seals import UNSEALED, Seals
from preklic_shared.ids import job_id_for, new_id
from preklic_shared.jobs import (
    ACTORS,
    AskJob,
    AskPayload,
    EnrichJob,
    EnrichPayload,
    GrantJob,
    GrantPayload,
    Job,
    Payload,
    Proof,
    RevokeJob,
    RevokePayload,
    SendJob,
    SendPayload,
    TrackJob,
)
from preklic_shared.registry import ENGAGEMENT, Purpose, Registry

# A withdrawal must outlive every queue it could wait in; claims are kept as long.
REVOKE_LIFE: Final = timedelta(days=366)
RECORD_LIFE: Final = timedelta(days=30)
TRACK_LIFE: Final = timedelta(days=7)
ASK_LIFE: Final = timedelta(seconds=2)

J = TypeVar("J", bound=Job)
S = TypeVar("S", bound=msgspec.Struct)


class Drafter:
    """Drafts jobs in the name of `producer`. Immutable; safe in threads."""

    def __init__(self, producer: str, registry: Registry, seals: Seals, clock: Callable[[], int] = now_millis) -> None:
        self.producer = producer
        self.registry = registry
        self._seals = seals
        self._clock = clock

    def send(  # the arguments are those of `Producer.send`
        self,
        to: str,
        purpose: str,
        template: str,
        data: Mapping[str, Any] | None = None,
        *,
        ref: str | None = None,
        attachments: Any = (),
        idempotency_key: str | None = None,
        after: str | None = None,
        send_at: Any = None,
        expires: Expires = None,
        reply_to: str | None = None,
    ) -> Parcel:
        """One mail to one person."""
        known = self._mail_purpose(purpose, template)
        payload = SendPayload(
            to=address_of(to, "to"),
            data=json_object({} if data is None else data, "data"),
            reply_to=None if reply_to is None else address_of(reply_to, "reply_to"),
            ref=None if ref is None else text_of(ref, "ref", 200),
            attachments=attachments_of(attachments) if attachments else [],
        )
        now = self._clock()
        at = send_at_of(send_at, now)
        fields = UNSEALED | {
            "id": self._id("send", idempotency_key),
            "producer": self.producer,
            "at": now,
            "expires": expires_of(expires, max(now, at or 0), timedelta(seconds=known.expires)),
            "purpose": purpose,
            "template": template,
            "after": None if after is None else id_of(after, "after"),
            "send_at": at,
        }
        return self._sealed(built(SendJob, fields), f"send_{known.lane}", payload)

    def grant(
        self,
        address: str,
        purposes: object,
        *,
        proof: Proof,
        ref: str | None = None,
        confirmed: bool = False,
        idempotency_key: str | None = None,
    ) -> Parcel:
        """Permissions of an address, with their proof."""
        payload = GrantPayload(
            address=address_of(address, "address"),
            purposes=purposes_of(purposes, "purposes", self._grantable),
            proof=proof_of(proof, self.registry),
            ref=None if ref is None else text_of(ref, "ref", 200),
            confirmed=confirmed,
        )
        return self._record(GrantJob, payload, idempotency_key)

    def grant_by_token(self, person: bytes, purpose: str, *, proof: Proof, made: int | None, confirmed: bool) -> Parcel:
        """A permission that a person gave on a public page; `made` is the token's time in milliseconds."""
        purposes = purposes_of(purpose, "purpose", self._grantable)
        payload = GrantPayload(purposes=purposes, proof=proof_of(proof, self.registry), confirmed=confirmed)
        return self._record(GrantJob, payload, None, person=person.hex(), token_at=made)

    def revoke(
        self,
        address_or_ref: str,
        purposes: object = "all",
        *,
        reason: str,
        erase: bool = False,
        idempotency_key: str | None = None,
    ) -> Parcel:
        """A withdrawal by address, or by the website's own name for the person; with `erase` of everything (U7)."""
        address, ref = person_of(address_or_ref, "address_or_ref")
        if "@" in text_of(reason, "reason", 200):
            raise Rejected("reason", "travels unsealed: it must not hold an address")
        if erase and purposes != "all":
            raise Rejected("purposes", "an erasure ends all of them")
        job = self._revocation(purposes, idempotency_key, source="api", reason=reason, erase=erase)
        return self._sealed(job, "revoke", RevokePayload(address=address, ref=ref))

    def revoke_by_token(
        self, person: bytes, message: str, purposes: object, *, source: str, erase: bool = False
    ) -> Parcel:
        """A withdrawal on a public page; the token says who. Each one has a fresh id."""
        job = self._revocation(purposes, None, source=source, person=person.hex(), message=message, erase=erase)
        return parcel(job, RevokeJob.KIND)

    def enrich(
        self,
        address_or_ref: str,
        group: str,
        data: Mapping[str, Any],
        *,
        source: str,
        idempotency_key: str | None = None,
    ) -> Parcel:
        """Fields of one group of a person, with where they came from."""
        address, ref = person_of(address_or_ref, "address_or_ref")
        payload = EnrichPayload(address=address, ref=ref, data=joined(data), source=text_of(source, "source", 200))
        return self._record(EnrichJob, payload, idempotency_key, group=group)

    def track(
        self,
        message: str,
        person: bytes,
        event: str,
        *,
        link: int | None = None,
        agent: str = "other",
        idempotency_key: str | None = None,
    ) -> Parcel:
        """One event of a message."""
        fields = {"event": event, "message": message, "person": person.hex(), "link": link, "agent": agent}
        return self.bare(TrackJob, TRACK_LIFE, idempotency_key, fields)

    def ask_customer(self, address: str) -> Parcel:
        """The question whether an address is known."""
        payload = AskPayload(address=address_of(address, "address"))
        return self._sealed(self._job(AskJob, ASK_LIFE, None, {"question": "customer"}), "ask", payload)

    def ask_status(self, message: str) -> Parcel:
        """The question how a job stands."""
        return self.bare(AskJob, ASK_LIFE, None, {"question": "status", "message": id_of(message, "id")})

    def ask_preferences(self, person: bytes) -> Parcel:
        """The question what a person permits."""
        return self.bare(AskJob, ASK_LIFE, None, {"question": "preferences", "person": person.hex()})

    def ask_statistics(self, template: str, since: str | None, until: str | None) -> Parcel:
        """The question how many mails of a partner's campaign were sent, opened and so on."""
        fields = {"question": "statistics", "template": template, "since": since, "until": until}
        return self.bare(AskJob, ASK_LIFE, None, fields)

    def bare(self, kind: type[J], life: timedelta, idempotency_key: str | None, fields: dict[str, Any]) -> Parcel:
        """A job that holds nothing personal, so nothing sealed; its actor is named as its kind."""
        return parcel(self._job(kind, life, idempotency_key, fields), kind.KIND)

    def sealed(
        self, kind: type[J], payload: Payload, life: timedelta, idempotency_key: str | None, fields: dict[str, Any]
    ) -> Parcel:
        """A job that seals `payload` to the role of its queue; its actor is named as its kind."""
        job = self._job(kind, life, idempotency_key, UNSEALED | fields)
        return self._sealed(job, kind.KIND, payload)

    def _mail_purpose(self, purpose: object, template: object) -> Purpose:
        known = self.registry.get(purpose) if isinstance(purpose, str) else None
        if known is None or not known.mail:
            raise Rejected("purpose", "is no purpose of mail in the registry")
        if template not in known.templates:
            raise Rejected("template", "does not belong to this purpose")
        return known

    def _grantable(self, key: str) -> bool:
        purpose = self.registry.get(key)
        return key == ENGAGEMENT or key in self.registry.switches or (purpose is not None and purpose.mail)

    def _record(self, kind: type[J], payload: Payload, idempotency_key: str | None, **fields: Any) -> Parcel:
        return self.sealed(kind, payload, RECORD_LIFE, idempotency_key, fields)

    def _revocation(self, purposes: object, idempotency_key: str | None, **fields: Any) -> RevokeJob:
        keys = "all" if purposes == "all" else purposes_of(purposes, "purposes", self.registry.revocable.__contains__)
        return self._job(RevokeJob, REVOKE_LIFE, idempotency_key, {"purposes": keys, **fields})

    def _job(self, kind: type[J], life: timedelta, idempotency_key: str | None, fields: dict[str, Any]) -> J:
        now = self._clock()
        job_id = self._id(kind.KIND, idempotency_key)
        header = {"id": job_id, "producer": self.producer, "at": now, "expires": now + millis(life)}
        return built(kind, header | fields)

    def _id(self, kind: str, idempotency_key: str | None) -> str:
        return new_id() if idempotency_key is None else job_id_for(self.producer, f"{kind}:{key_of(idempotency_key)}")

    def _sealed(self, job: Job, actor: str, payload: Payload) -> Parcel:
        # Held to its contract before it is sealed: afterwards nobody on this side can read it.
        return parcel(self._seals.sealed(job, ACTORS[actor][1], checked(payload)), actor)
