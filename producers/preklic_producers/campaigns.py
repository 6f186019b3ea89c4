"""What a website or a partner of the API asks of a campaign, checked and turned into a sealed job."""

import datetime as dt
import re
from typing import Any, Final, TypedDict

from preklic_producers.drafts import ASK_LIFE, RECORD_LIFE, Drafter
from preklic_producers.fields import Rejected, json_object, millis, text_of
from preklic_producers.outbox import Parcel
from preklic_shared.campaign_jobs import Act, CampaignJob, CampaignPayload
from preklic_shared.campaign_rules import NAME, BadCampaign, check
from preklic_shared.questions import AskJob

_CAP: Final = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})d", re.ASCII)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Details(TypedDict, total=False):
    """What a campaign may say beside its content.

    `segment` is whom of those who permit it, `rate` mails a second (0: as fast as it goes). `cap` such as `2/7d`: who
    got two campaigns' mails in seven days is left out. `at` is aware, and naive with `local_time`: by each person's own
    clock.
    """

    segment: str
    at: dt.datetime | None
    local_time: bool
    rate: float
    cap: str | None
    idempotency_key: str | None


def start(drafts: Drafter, name: str, purpose: str, template: str, data: object, details: Details) -> Parcel:
    """The job that starts a campaign. Raises Rejected with the field at fault."""
    local = details.get("local_time", False)
    asked = CampaignPayload(
        data=json_object({} if data is None else data, "data"),
        segment=details.get("segment", ""),
        at=_at(details.get("at"), local=local),
        local=local,
        rate=details.get("rate", 0.0),
        cap=_cap(details.get("cap")),
    )
    try:
        check(drafts.registry, name, purpose, template, asked, millis(dt.datetime.now(dt.UTC) - _EPOCH))
    except BadCampaign as bad:
        raise Rejected(bad.field, str(bad)) from None
    fields = {"campaign": name, "act": "start", "purpose": purpose, "template": template}
    return drafts.sealed(CampaignJob, asked, RECORD_LIFE, details.get("idempotency_key"), fields)


def move(drafts: Drafter, name: str, act: Act, reason: object, idempotency_key: str | None = None) -> Parcel:
    """The job that pauses, stops or lets go on. Raises Rejected with the field at fault."""
    if not NAME.fullmatch(name):
        raise Rejected("name", "is no name of a campaign")
    why = text_of(reason, "reason", 500)
    if "@" in why or not why.strip():
        raise Rejected("reason", "is recorded: it says why, and must not hold an address")
    fields = {"campaign": name, "act": act}
    return drafts.sealed(CampaignJob, CampaignPayload(reason=why), RECORD_LIFE, idempotency_key, fields)


def question(drafts: Drafter, name: str | None) -> Parcel:
    """The question how a campaign stands; without a name, which there are. Raises Rejected for what is no name."""
    if name is not None and not NAME.fullmatch(name):
        raise Rejected("name", "is no name of a campaign")
    asked = {"question": "campaigns" if name is None else "campaign", "campaign": name}
    return drafts.bare(AskJob, ASK_LIFE, None, asked)


def _at(at: object, *, local: bool) -> int | None:
    if at is None:
        return None
    if not isinstance(at, dt.datetime) or (at.tzinfo is None) is not local:
        raise Rejected("at", "has no zone with local_time, and its zone without, as in 2026-12-01T09:00:00+01:00")
    return millis((at.replace(tzinfo=dt.UTC) if local else at) - _EPOCH)


def _cap(text: Any) -> tuple[int, int] | None:
    if text is None:
        return None
    limit = _CAP.fullmatch(text) if isinstance(text, str) else None
    if limit is None:
        raise Rejected("cap", "is mails/days, as in 2/7d")
    return int(limit[1]), int(limit[2])
