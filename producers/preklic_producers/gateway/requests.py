"""The bodies that the intake API takes: strict, typed, and the source of `/openapi.json`."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from preklic_producers.gateway.errors import ApiError
from preklic_shared.attachments import Attachment
from preklic_shared.campaign_jobs import MOST_RATE
from preklic_shared.jobs import Proof
from preklic_shared.wire import Malformed, convert, strict_json

BODY_LIMIT: Final = 256 * 1024
MAIL_LIMIT: Final = 768 * 1024
BATCH_LIMIT: Final = 4 * 1024 * 1024
MAX_BATCH: Final = 500

R = TypeVar("R", bound=Struct)


class _Request(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class MessageRequest(_Request, frozen=True, kw_only=True):
    """One mail to one person. `after` is the id of a job (a grant) that must be recorded first.

    `send_at` (RFC 3339 with a zone): it waits until then, up to 21 days, and a withdrawal cancels it. `attachments`:
    files with their content in base64.
    """

    to: str
    purpose: str
    template: str
    data: dict[str, Any] = {}
    ref: str | None = None
    after: str | None = None
    expires: datetime | None = None
    reply_to: str | None = None
    send_at: datetime | None = None
    attachments: list[Attachment] = []


class BatchRequest(_Request, frozen=True, kw_only=True):
    """Up to 500 mails; all are checked before the first is taken."""

    messages: Annotated[list[MessageRequest], Meta(min_length=1, max_length=MAX_BATCH)]


class ConsentRequest(_Request, frozen=True, kw_only=True):
    """Permissions that a person gave, with their proof."""

    address: str
    purposes: list[str]
    proof: Proof
    ref: str | None = None
    confirmed: bool = False


class WithdrawalRequest(_Request, frozen=True, kw_only=True):
    """A withdrawal, by address or by the website's own name for the person; `erase` asks for their erasure as well."""

    person: str
    purposes: list[str] | Literal["all"] = "all"
    reason: str
    erase: bool = False


class ProfileRequest(_Request, frozen=True, kw_only=True):
    """Fields of one group of a person, with where they came from."""

    person: str
    group: str
    data: dict[str, Any]
    source: str


class CampaignRequest(_Request, frozen=True, kw_only=True):
    """A campaign: one mail to everybody who permits its purpose.

    `at` has its zone, but with `local_time` none: each person gets it when their own clock shows that. `cap` is
    mails/days, as in `2/7d`. The same campaign asked for again is one campaign.
    """

    name: str
    purpose: str
    template: str
    data: dict[str, Any] = {}
    segment: str = ""
    at: datetime | None = None
    local_time: bool = False
    rate: Annotated[float, Meta(ge=0, le=MOST_RATE)] = 0.0
    cap: str | None = None


class ReasonRequest(_Request, frozen=True, kw_only=True):
    """Why; it is recorded."""

    reason: str


class EventRequest(_Request, frozen=True, kw_only=True):
    """One event of a mail, by the token of its link or pixel."""

    token: str
    kind: Literal["opened", "clicked"]


class CheckRequest(_Request, frozen=True, kw_only=True):
    """The question whether an address belongs to an existing customer."""

    address: str


def read_json(body: bytes, kind: type[R]) -> R:
    """The typed request; ApiError 400 when it is no JSON, 422 with the field when it does not fit."""
    try:
        value = strict_json(body)
    except Malformed:
        raise ApiError(400, "bad_json", "the body is not strict JSON") from None
    # Dates come as text here, and msgspec reads them only where it parses: one more pass through its own JSON.
    try:
        return msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError:
        return _say_where(value, kind)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError):
        raise ApiError(400, "bad_json", "the body is not strict JSON") from None


def _say_where(value: object, kind: type[R]) -> R:
    try:
        return convert(value, kind, "")
    except Malformed as error:
        raise ApiError(422, "rejected", "is missing, unknown, or of a wrong type", error.field or None) from None
