"""Disclosure under an order (U9): asked for with all its grounds, approved by two, recorded, sealed to its receiver.

The file that leaves is one line, `preklic-disclosure-1 <id>`, and the data as JSON, sealed by HPKE (RFC 9180: DHKEM
X25519, HKDF-SHA256, AES-256-GCM, base mode) with that line as `info`. It is never in the clear on a disk.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import IO, Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared.ids import job_id_for, new_id
from preklic_workers import sealed_file
from preklic_workers.approving import APPROVE, Asked, Request, asking, check_approvals, check_next
from preklic_workers.envelope import NoKey
from preklic_workers.law import Attempt, Law, attempting, check_allowed, known
from preklic_workers.moments import millis
from preklic_workers.officers import Denied, Signer
from preklic_workers.opening import DISCLOSURE, open_fields
from preklic_workers.store import Act, Duplicate

DISCLOSED: Final = "disclosed"
_WHAT: Final = "disclosure"


class Disclosure(Asked, frozen=True, kw_only=True):
    """A request for disclosure. `scope` is what the order reaches, `groups` what is asked of it; `until` in ms.

    `receiver` is the receiver's public X25519 key, 32 bytes in hex.
    """

    authority: str
    order: str
    provision: str
    scope: tuple[str, ...]
    until: int
    receiver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an officer asks for, as in `Disclosure`; `until` 0 where it is not given. Nothing may be empty."""

    authority: str
    order: str
    provision: str
    person: str
    scope: tuple[str, ...]
    groups: tuple[str, ...]
    until: int
    receiver: str


async def ask(law: Law, signer: Signer, wanted: Wanted) -> Request:
    """Keep a request, recorded first. Denied for a field that is missing and for more than the order reaches."""
    request_id, now = new_id(), law.store.mongo.now()
    async with attempting(law, _WHAT, Attempt(signer.name, wanted.person or None, request_id)):
        check_complete(asdict(wanted))
        check_scope(wanted.groups, wanted.scope)
        check_allowed(law, wanted.scope, DISCLOSURE)
        check_time(wanted.until, now)
        sealed("", wanted.receiver, b"")
        body = Disclosure(id=request_id, kind="disclosure", by=signer.name, **asdict(wanted))
        await law.store.acts.record(_act("disclosure_asked", signer, body))
        request = asking(body, signer, now)
        await law.store.requests.add(request)
    return request


async def approve(law: Law, signer: Signer, request_id: str) -> Disclosure:
    """One officer's approval, recorded first. Denied for the second one of an officer, and when its time is over."""
    async with attempting(law, _WHAT, Attempt(signer.name, request=request_id)) as attempt:
        request, body = await known(law, request_id, "disclosure", Disclosure)
        attempt.person = body.person
        now = law.store.mongo.now()
        check_time(body.until, now)
        check_next(request, signer)
        await law.store.acts.record(_act("disclosure_approved", signer, body))
        if not await law.store.requests.approve(request, signer.sign(APPROVE, request.body, now)):
            raise Denied("approved_already", "somebody approved it in this moment: look again")
    return body


async def export(
    law: Law, signer: Signer, request_id: str, out: IO[bytes], *, groups: tuple[str, ...] = (), again: str = ""
) -> int:
    """Write the sealed data to `out`, recorded first; how many times that was done, this one included.

    `groups` narrows what leaves. Denied when anything of the request does not hold now, and for a second time without
    a reason (`again`).
    """
    async with attempting(law, _WHAT, Attempt(signer.name, request=request_id)) as attempt:
        request, body = await known(law, request_id, "disclosure", Disclosure)
        attempt.person = body.person
        check_approvals(request, law.officers)
        check_time(body.until, law.store.mongo.now())
        chosen = groups or body.groups
        check_scope(chosen, body.groups)
        check_allowed(law, chosen, DISCLOSURE)
        number = await times(law, body)
        check_once(number, again)
        # The act's id is this request's and this time's: of two at once only one is recorded.
        act = _act(DISCLOSED, signer, body, chosen, why=again)
        await _record_once(law, replace(act, id=job_id_for(DISCLOSED, f"{body.id}:{number}")))
        out.write(sealed(body.id, body.receiver, msgspec.json.encode(await _gather(law, body, chosen))))
    return number + 1


async def times(law: Law, body: Disclosure) -> int:
    """How many times it was disclosed, by the record that nobody changes."""
    acts = await law.store.acts.of(person=body.person, kind=DISCLOSED)
    return sum(act.facts.get("request") == body.id for act in acts)


async def listing(law: Law, limit: int = 100) -> list[dict[str, Any]]:
    """The newest requests with their state: pending, approved, expired, disclosed, or what is wrong with them."""
    return [await _row(law, request) for request in await law.store.requests.recent("disclosure", limit)]


def check_complete(wanted: Mapping[str, object]) -> None:
    """Denied when any of the grounds is missing (U9)."""
    if missing := [name for name, value in wanted.items() if not value]:
        raise Denied("missing", f"a disclosure needs: {', '.join(missing)}")


def check_scope(groups: Collection[str], scope: Collection[str]) -> None:
    """Denied for more than the order reaches."""
    if wider := sorted(set(groups) - set(scope)):
        raise Denied("wider_than_order", f"the order does not reach: {', '.join(wider)}")


def check_time(until: int, now: dt.datetime) -> None:
    """Denied after the request's end (ms)."""
    if millis(now) >= until:
        raise Denied("expired", "its time is over: ask anew")


def check_once(number: int, again: str) -> None:
    """Denied for what was disclosed already, unless somebody says why again."""
    if number and not again:
        raise Denied("disclosed", "it was disclosed already; --again says why once more")


def sealed(request_id: str, receiver: str, plain: bytes) -> bytes:
    """The file for the receiver. Denied for what is no X25519 key."""
    try:
        return sealed_file.sealed("disclosure", request_id, receiver, plain)
    except ValueError:
        raise Denied("receiver", "the receiver's key is no public X25519 key") from None


def opened(file: bytes, key: X25519PrivateKey) -> bytes:
    """What the receiver reads: JSON. Raises Tampered for another's file, and for one that was changed."""
    return sealed_file.opened("disclosure", file, key)


async def _gather(law: Law, body: Disclosure, groups: Sequence[str]) -> dict[str, Any]:
    names = ("id", "authority", "order", "provision", "person")
    found: dict[str, Any] = {name: getattr(body, name) for name in names} | {"made": law.store.mongo.now()}
    found["fields"] = {
        group: await open_fields(law.store, law.registry, body.person, group, DISCLOSURE) for group in groups
    }
    if "evidence" in groups:
        with suppress(NoKey):  # erased: nothing is left of the proofs
            found["permissions"] = await law.store.proofs.opened(body.person)
        found["mails"] = await law.store.holds.mails(body.person)
    return found


async def _record_once(law: Law, act: Act) -> None:
    try:
        await law.store.acts.record(act)
    except Duplicate:
        raise Denied("disclosed", "somebody discloses it in this moment") from None


def _act(kind: str, signer: Signer, body: Disclosure, groups: Sequence[str] = (), *, why: str = "") -> Act:
    facts = {"request": body.id, "authority": body.authority, "order": body.order, "receiver": body.receiver}
    facts["groups"] = " ".join(groups or body.groups)
    return Act(kind, signer.name, why or body.provision, body.person, facts)


async def _row(law: Law, request: Request) -> dict[str, Any]:
    row: dict[str, Any] = {"request": request.id, "at": request.asked.at, "by": request.asked.officer}
    row["approved"] = ", ".join(one.officer for one in request.approvals)
    try:
        _, body = await known(law, request.id, "disclosure", Disclosure)
        row |= {name: getattr(body, name) for name in ("authority", "order", "provision", "person")}
        row |= {"groups": " ".join(body.groups), "times": await times(law, body)}
        check_approvals(request, law.officers)
        check_time(body.until, law.store.mongo.now())
    except Denied as denied:
        return row | {"state": {"not_approved": "pending"}.get(denied.code, denied.code)}
    return row | {"state": "disclosed" if row["times"] else "approved"}
