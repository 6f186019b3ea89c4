"""`POST /webhooks/{ses,sendgrid,postmark,mailgun}`: what providers tell of our mails, made track and revocation jobs.

200 after all of it is confirmed by the broker or fsynced in the outbox, so that the provider forgets it; else 503, and
it comes again. The event ids make the same jobs of it then.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from preklic_producers.courier import Unavailable
from preklic_producers.feedback.aside import set_aside
from preklic_producers.feedback.heard import Aside, Heard, Ignored
from preklic_producers.feedback.reports import Report, jobs_of
from preklic_producers.gateway.bodies import read_body
from preklic_producers.gateway.clients import within
from preklic_producers.gateway.context import Gateway, gateway_of
from preklic_producers.gateway.delivery import TRACK_SHARE
from preklic_producers.gateway.errors import ApiError
from preklic_producers.gateway.webhook_source import Away, Forged, Posted, Repeated
from preklic_producers.outbox import Parcel
from preklic_shared.jobs import RevokeJob
from preklic_shared.metrics import WEBHOOK_EVENTS

BODY: Final = 1024 * 1024
# So many jobs of one batch wait for the broker's confirm at a time.
ABREAST: Final = 200


async def webhook(request: Request) -> Response:
    """One request of a provider. 404 for one that is not set up, 403 (401 for Postmark) for one that is forged."""
    gateway, name = gateway_of(request), request.path_params["source"]
    source = gateway.sources.get(name)
    if source is None:
        raise ApiError(404, "not_found", "there is nothing here")
    posted = Posted(request.headers, await read_body(request, BODY), over_tls(request))
    try:
        told = await source.hear(posted)
    except Forged as error:
        return _refused(name, error)
    except Repeated:
        WEBHOOK_EVENTS.labels(name, "repeated").inc()
        return _taken({"repeated": 1})
    except Away:
        raise _away(name) from None
    taken = False
    try:
        taken = await _take(gateway, name, told)
    finally:
        source.settle(posted, taken=taken)
    if not taken:
        raise _away(name)
    return _taken(_counted(name, told))


def over_tls(request: Request) -> bool:
    """Whether the client spoke TLS: to us, or to a proxy that the settings trust and that says so."""
    if request.url.scheme == "https":
        return True
    peer = request.client.host if request.client else ""
    return within(peer, gateway_of(request).trusted) and request.headers.get("x-forwarded-proto", "").lower() == "https"


async def _take(gateway: Gateway, source: str, told: Sequence[Heard]) -> bool:
    """Whether all of it is safe. What is a no goes first and waits for nothing else; it alone may fill the outbox."""
    drafts = gateway.drafts
    jobs = [job for one in told if isinstance(one, Report) for job in jobs_of(one, drafts)]
    noes = [job for job in jobs if job.actor == RevokeJob.KIND]
    others = [job for job in jobs if job.actor != RevokeJob.KIND]
    if not (await _hand_over(gateway, noes, 1.0) and await _hand_over(gateway, others, TRACK_SHARE)):
        return False
    strange = [set_aside(drafts, source, one.reason, one.raw) for one in told if isinstance(one, Aside)]
    return await _hand_over(gateway, strange, TRACK_SHARE)


async def _hand_over(gateway: Gateway, parcels: Sequence[Parcel], share: float) -> bool:
    for begin in range(0, len(parcels), ABREAST):
        calls = [gateway.delivery.hand_over(one, share=share) for one in parcels[begin : begin + ABREAST]]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(error, Unavailable):
                return False
            if isinstance(error, BaseException):
                raise error
    return True


def _counted(source: str, told: Sequence[Heard]) -> Mapping[str, int]:
    counts = Counter(
        "set_aside" if isinstance(one, Aside) else "ignored" if isinstance(one, Ignored) else "taken" for one in told
    )
    for verdict, count in counts.items():
        WEBHOOK_EVENTS.labels(source, verdict).inc(count)
    return counts


def _taken(counts: Mapping[str, int]) -> Response:
    return JSONResponse({"data": dict(counts)})


def _refused(source: str, error: Forged) -> Response:
    WEBHOOK_EVENTS.labels(source, "forged").inc()
    # Told to who calls, for a provider shows it in its console; not logged, for anybody can call.
    body = {"message": f"this is not believed: {error.code}", "code": "forged", "field": None}
    headers = {"WWW-Authenticate": 'Basic realm="webhooks"'} if error.status == 401 else None
    return JSONResponse(body, status_code=error.status, headers=headers)


def _away(source: str) -> ApiError:
    WEBHOOK_EVENTS.labels(source, "away").inc()
    return ApiError(503, "unavailable", "it could not be taken; send it again")
