"""The jobs: typed, versioned values. `wire` gives them their one strict form.

Times are milliseconds since the Unix epoch (UTC). What is personal rides sealed, as one of the payloads below.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from preklic_shared.attachments import Attachment
from preklic_shared.campaign_jobs import CampaignJob as CampaignJob  # noqa: PLC0414 -- every kind can be taken from here
from preklic_shared.campaign_jobs import CampaignPayload as CampaignPayload  # noqa: PLC0414 -- likewise
from preklic_shared.job_fields import (
    END,
    Enhanced,
    FieldName,
    FieldText,
    JobId,
    KeyId,
    Millis,
    Pid,
    Purpose,
    Purposes,
    Sealed,
    Short,
    Template,
    Text,
    Word,
)
from preklic_shared.job_fields import Job as Job  # noqa: PLC0414 -- whoever takes a kind from here takes its base, too
from preklic_shared.questions import AskJob as AskJob  # noqa: PLC0414 -- likewise
from preklic_shared.questions import AskPayload as AskPayload  # noqa: PLC0414 -- likewise


class SendJob(Job, frozen=True, kw_only=True):
    """One mail to one person, not before `send_at`. `after` names the job (a grant) that must be recorded first.

    With `person` no address travels; the worker opens what is recorded. `variant` chooses a subject of the template.
    """

    KIND: ClassVar[str] = "send"

    purpose: Purpose
    template: Template
    after: JobId | None = None
    send_at: Millis | None = None
    person: Pid | None = None
    campaign: Word | None = None
    variant: Annotated[int, Meta(ge=0, le=9)] | None = None
    key: KeyId
    sealed: Sealed


class TrackJob(Job, frozen=True, kw_only=True):
    """One event of a message. `agent` is the class of user agent, `link` the link's number in the mail.

    `person` is absent where the report names the message alone: whose it was is then looked up. `bounce` says whether
    an address is gone for good (`hard`), for now (`soft`), or whether the receiver objects to us (`policy`).
    """

    KIND: ClassVar[str] = "track"

    event: Literal["opened", "clicked", "delivered", "deferred", "bounced", "complained"]
    message: JobId
    person: Pid | None = None
    link: Annotated[int, Meta(ge=0, le=999)] | None = None
    agent: Literal["browser", "proxy", "scanner", "empty", "other"] = "other"
    bounce: Literal["hard", "soft", "policy"] | None = None
    code: Enhanced | None = None


class RevokeJob(Job, frozen=True, kw_only=True):
    """A withdrawal: of one person by `person` (from a token), or by the address or ref that is sealed.

    With neither it is of whom `message` was sent to; `mail` among the purposes names that mail's own. `said` is when
    the person said so, where that is known to be before the job: what was permitted well after it stands (law 5).
    """

    KIND: ClassVar[str] = "revoke"

    purposes: Purposes | Literal["all", "mail"]
    source: Literal["one_click", "preference", "api", "complaint", "bounce", "operator"]
    reason: Text = ""
    person: Pid | None = None
    message: JobId | None = None
    said: Millis | None = None
    erase: bool = False
    key: KeyId | None = None
    sealed: Sealed | None = None


class GrantJob(Job, frozen=True, kw_only=True):
    """Permissions with their proof. Who and what is sealed, or comes from a token (`person`, `token_at`)."""

    KIND: ClassVar[str] = "grant"

    person: Pid | None = None
    token_at: Millis | None = None
    key: KeyId
    sealed: Sealed


class EnrichJob(Job, frozen=True, kw_only=True):
    """Fields of one group, joined to a person."""

    KIND: ClassVar[str] = "enrich"

    group: Literal["profile", "service", "payments", "recovery", "court"]
    key: KeyId
    sealed: Sealed


class AsideJob(Job, frozen=True, kw_only=True):
    """Something that came back about a mail and could not be matched or read: kept, sealed, for a person to look at."""

    KIND: ClassVar[str] = "aside"

    source: Word
    reason: Word
    key: KeyId
    sealed: Sealed


class WebhookJob(Job, frozen=True, kw_only=True):
    """One event for one endpoint outside: ids, words and codes alone; no field of it has room for an address.

    `happened` is when, `endpoint` for whom. The job's id is the receiver's `webhook-id`, the same at every repeat.
    """

    KIND: ClassVar[str] = "webhook"

    endpoint: Word
    event: Annotated[str, Meta(pattern=rf"^[a-z]{{1,32}}\.[a-z_]{{1,32}}{END}")]
    happened: Millis
    message: JobId | None = None
    withdrawal: JobId | None = None
    grant: JobId | None = None
    person: Pid | None = None
    purposes: Purposes | None = None
    template: Word | None = None
    campaign: Word | None = None
    reason: Word | None = None
    code: Annotated[int, Meta(ge=100, le=999)] | None = None
    enhanced: Enhanced | None = None
    control: Word | None = None


class _Payload(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True): ...


class SendPayload(_Payload, frozen=True, kw_only=True):
    """What a send seals; `to` unless its header names the person. Keys of `data`: no `$` first, no `.`, no NUL."""

    to: Annotated[str, Meta(max_length=320)] | None = None
    data: dict[str, Any] = {}
    reply_to: Annotated[str, Meta(max_length=320)] | None = None
    ref: Short | None = None
    attachments: list[Attachment] = []


class RevokePayload(_Payload, frozen=True, kw_only=True):
    """Who withdraws, where no token says it: exactly one of the two."""

    address: Annotated[str, Meta(max_length=320)] | None = None
    ref: Short | None = None


class Proof(_Payload, frozen=True, kw_only=True):
    """How a permission came about; kept with it, encrypted under the person's `evidence` key."""

    wording: Short
    source: Short
    method: Literal["form", "double_opt_in", "contract", "import", "paper", "api"]
    language: Annotated[str, Meta(pattern=rf"^[a-z]{{2}}{END}")] = "sl"
    note: Text = ""


class GrantPayload(_Payload, frozen=True, kw_only=True):
    """What a grant seals. With a token in the header the address is absent."""

    address: Annotated[str, Meta(max_length=320)] | None = None
    purposes: Purposes
    proof: Proof
    ref: Short | None = None
    confirmed: bool = False


class EnrichPayload(_Payload, frozen=True, kw_only=True):
    """What an enrichment seals: up to 64 fields of text, numbers or booleans, each by a name of its own."""

    address: Annotated[str, Meta(max_length=320)] | None = None
    ref: Short | None = None
    data: Annotated[dict[FieldName, FieldText | int | float | bool], Meta(max_length=64)]
    source: Short


class AsidePayload(_Payload, frozen=True, kw_only=True):
    """The beginning of what came, base64."""

    raw: Annotated[str, Meta(max_length=88_000, pattern=rf"^[A-Za-z0-9+/]*={{0,2}}{END}")]


Payload = SendPayload | RevokePayload | GrantPayload | EnrichPayload | AsidePayload | AskPayload | CampaignPayload

# actor -> (kind, queue). One actor for each queue that takes a kind.
ACTORS: dict[str, tuple[type[Job], str]] = {
    "send_now": (SendJob, "send.now"),
    "send_bulk": (SendJob, "send.bulk"),
    "track": (TrackJob, "track"),
    "revoke": (RevokeJob, "revoke"),
    "grant": (GrantJob, "record"),
    "enrich": (EnrichJob, "record"),
    "aside": (AsideJob, "record"),
    "campaign": (CampaignJob, "campaign"),
    "ask": (AskJob, "ask"),
    "webhook": (WebhookJob, "webhooks"),
}
PAYLOADS: dict[type[Job], type[Payload]] = {
    SendJob: SendPayload,
    RevokeJob: RevokePayload,
    GrantJob: GrantPayload,
    EnrichJob: EnrichPayload,
    AsideJob: AsidePayload,
    AskJob: AskPayload,
    CampaignJob: CampaignPayload,
}


def actor_for(job: Job, lane: str = "now") -> str:
    """The actor that takes `job`; `lane` (now or bulk) matters to sends alone."""
    return f"send_{lane}" if isinstance(job, SendJob) else job.KIND
