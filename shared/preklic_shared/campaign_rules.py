"""What a campaign may be: the one rule that the command, producers, the gateway and the workers hold it to. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from preklic_shared.campaign_jobs import CampaignPayload
from preklic_shared.purposes import Purpose
from preklic_shared.registry import Registry
from preklic_shared.segments import BadSegment, parse
from preklic_shared.wire import Malformed, check_keys

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}", re.ASCII)
MOST_DATA: Final = 100_000  # octets as JSON
MOST_DAYS: Final = 366
_MOST_MILLIS: Final = MOST_DAYS * 86_400_000


class BadCampaign(ValueError):
    """What no campaign may be: `field` is at fault, the text says what it takes, `code` why a job is refused."""

    def __init__(self, field: str, message: str, code: str) -> None:
        super().__init__(message)
        self.field, self.code = field, code


def check(registry: Registry, name: str, purpose: object, template: object, said: CampaignPayload, now: int) -> Purpose:
    """The purpose of a campaign that may start; `now` in milliseconds. Raises BadCampaign."""
    if not NAME.fullmatch(name):
        raise BadCampaign("name", "is up to 60 of a-z 0-9 _ -, and begins with a letter or digit", "malformed")
    known = registry.for_mail(purpose, template) if isinstance(purpose, str) and isinstance(template, str) else None
    if known is None or not known.needs_known_person or template == known.confirm:
        raise BadCampaign("purpose", "is no purpose of campaigns with this template", "purpose_denied")
    _check_data(said.data)
    _check_segment(said.segment)
    _check_time(said, now)
    return known


def octets(data: Mapping[str, Any]) -> bytes:
    """The data as they are recorded and compared: the same for the same object, however it was written.

    >>> octets({"b": 1, "a": "č"}) == octets({"a": "č", "b": 1})
    True
    """
    return json.dumps(data, ensure_ascii=False, sort_keys=True).encode()


def _check_data(data: Mapping[str, Any]) -> None:
    try:
        check_keys(data)
    except Malformed:
        raise BadCampaign("data", "holds a key that is not allowed: no `$` first, no `.`", "malformed") from None
    if len(octets(data)) > MOST_DATA:
        raise BadCampaign("data", f"is a JSON object of at most {MOST_DATA} octets", "malformed")


def _check_segment(text: str) -> None:
    try:
        if text:
            parse(text)
    except BadSegment as error:
        raise BadCampaign("segment", str(error), "bad_segment") from None


def _check_time(said: CampaignPayload, now: int) -> None:
    if said.local and said.at is None:
        raise BadCampaign("at", "is needed with local time: the clock that each person's own is to show", "malformed")
    if said.at is not None and abs(said.at - now) > _MOST_MILLIS:
        raise BadCampaign("at", f"lies more than {MOST_DAYS} days from now", "malformed")
