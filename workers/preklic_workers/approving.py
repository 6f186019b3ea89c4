"""Requests that others must approve: what was asked, by whom, and who said yes. Pure rules.

The asker's own approval counts as one of two for a disclosure (two different approvers, so never one person alone);
break-glass needs one of somebody else.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import msgspec

from preklic_shared.settings import Officer, Right
from preklic_shared.wire import Malformed, strict_json
from preklic_workers.ledger.leaves import canonical
from preklic_workers.officers import Denied, Signed, Signer, check_signed

Kind = Literal["disclosure", "breakglass"]
ASK: Final = "ask"
APPROVE: Final = "approve"


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every request says: its own id, who asked (an officer's name), about whom (the suppression hash), and what.

    `groups` are field groups. All of it is signed.
    """

    id: str
    kind: Kind
    by: str
    person: str
    groups: tuple[str, ...]


A = TypeVar("A", bound=Asked)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is kept: the signed bytes are the only record of what was asked."""

    id: str
    kind: Kind
    body: bytes
    asked: Signed
    approvals: tuple[Signed, ...] = ()
    closed: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What a kind of request needs: so many approvals by officers with this right; `besides` the asker, or not."""

    right: Right
    approvals: int
    besides: bool


RULES: Final[Mapping[Kind, Rule]] = {
    "disclosure": Rule("disclose", approvals=2, besides=False),
    "breakglass": Rule("breakglass", approvals=1, besides=True),
}


def read(request: Request, kind: type[A], officers: Sequence[Officer]) -> A:
    """What was asked, by the signed bytes. Denied when they are not what their asker signed, or stand elsewhere."""
    try:
        body = msgspec.convert(strict_json(request.body), kind)
    except (Malformed, msgspec.ValidationError):
        raise Denied("altered", "the request cannot be read: something was changed") from None
    if (body.id, body.kind, body.by) != (request.id, request.kind, request.asked.officer):
        raise Denied("altered", "the request is not the one that was signed")
    check_signed(request.asked, ASK, request.body, RULES[request.kind].right, officers)
    return body


def asking(body: Asked, signer: Signer, at: dt.datetime) -> Request:
    """A request as its asker signs it."""
    signed = canonical(msgspec.to_builtins(body))
    return Request(body.id, body.kind, signed, signer.sign(ASK, signed, at))


def check_approvals(request: Request, officers: Sequence[Officer]) -> None:
    """Denied unless enough different officers, with different keys, approved this very request."""
    rule = RULES[request.kind]
    for approval in request.approvals:
        check_signed(approval, APPROVE, request.body, rule.right, officers)
    others = [one for one in request.approvals if not (rule.besides and _same(one, request.asked))]
    if min(len({one.officer for one in others}), len({one.public for one in others})) < rule.approvals:
        raise Denied("not_approved", f"{rule.approvals} different officers must approve it; {len(others)} did")


def check_next(request: Request, signer: Signer) -> None:
    """Denied when this officer's approval would count for nothing."""
    rule = RULES[request.kind]
    if rule.besides and (signer.name == request.asked.officer or signer.public == request.asked.public):
        raise Denied("same_officer", "whoever asks for it cannot approve it: a second person must")
    if any(signer.name == one.officer or signer.public == one.public for one in request.approvals):
        raise Denied("same_officer", f"{signer.name} approved it already: another officer must")
    if len(request.approvals) >= rule.approvals:
        raise Denied("approved_already", "it has all the approvals that it needs")


def _same(one: Signed, other: Signed) -> bool:
    return one.officer == other.officer or one.public == other.public
