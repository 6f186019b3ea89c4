"""What a partner may know: the counts of its own campaign, in groups of ten people and more (clause U4)."""

import datetime as dt
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from preklic_producers.drafts import Drafter
from preklic_producers.fields import Rejected
from preklic_producers.gateway.context import gateway_of
from preklic_producers.gateway.errors import ApiError

_NAMES: Final = frozenset({"from", "to"})


async def statistics(request: Request) -> Response:
    """GET /v1/partners/statistics, with `from` and `to` (days, UTC) or without: closed days alone."""
    gateway = gateway_of(request)
    name, campaign = gateway.bearers.admit_partner(request)
    if not gateway.checks.below(name):
        raise ApiError(429, "too_many", "too many questions in this minute")
    gateway.checks.add(name)
    if strange := set(request.query_params) - _NAMES:
        raise Rejected(min(strange), "is unknown; there are from and to")
    since, until = (_day(request, bound) for bound in ("from", "to"))
    drafts = Drafter(name, gateway.registry, gateway.seals)
    answer = await gateway.asker.ask(drafts.ask_statistics(campaign, since, until))
    counts = None if answer is None else counts_of(answer)
    if counts is None:
        raise ApiError(503, "unavailable", "nobody answered in time")
    return JSONResponse({"data": {"campaign": campaign, "from": since, "to": until, "counts": counts}})


def counts_of(answer: dict[str, Any]) -> dict[str, int] | None:
    """The counts of an answer; None when it is none."""
    counts = answer.get("counts")
    if not isinstance(counts, dict) or not all(type(count) is int for count in counts.values()):
        return None
    return counts


def _day(request: Request, bound: str) -> str | None:
    text = request.query_params.get(bound)
    try:
        return None if text is None else dt.date.fromisoformat(text).isoformat()
    except ValueError:
        raise Rejected(bound, "is a day such as 2026-11-27") from None
