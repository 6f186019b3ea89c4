"""Campaigns over HTTP: what is asked of them goes over the queue, as all else; how they stand is a question."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from preklic_producers import campaigns
from preklic_producers.drafts import Drafter
from preklic_producers.gateway.context import gateway_of
from preklic_producers.gateway.errors import ApiError
from preklic_producers.gateway.intake import drafts_of, take
from preklic_producers.gateway.requests import CampaignRequest, ReasonRequest, read_json
from preklic_producers.outbox import Parcel
from preklic_shared.campaign_jobs import Act

SCOPE = "campaigns"


async def start(request: Request) -> Response:
    """POST /v1/campaigns."""
    return await take(request, SCOPE, _start)


async def pause(request: Request) -> Response:
    """POST /v1/campaigns/{name}/pause."""
    return await _move(request, "pause")


async def resume(request: Request) -> Response:
    """POST /v1/campaigns/{name}/resume."""
    return await _move(request, "resume")


async def stop(request: Request) -> Response:
    """POST /v1/campaigns/{name}/stop."""
    return await _move(request, "stop")


async def show(request: Request) -> Response:
    """GET /v1/campaigns/{name}."""
    answer = await _ask(request, request.path_params["name"])
    if not answer:
        raise ApiError(404, "not_found", "no such campaign is recorded; it may be on its way", "name")
    return JSONResponse({"data": answer})


async def listing(request: Request) -> Response:
    """GET /v1/campaigns."""
    answer = await _ask(request, None)
    return JSONResponse({"data": answer.get("campaigns", [])})


async def _move(request: Request, act: Act) -> Response:
    def draft(drafts: Drafter, body: bytes, key: str | None) -> Parcel:
        return campaigns.move(drafts, request.path_params["name"], act, read_json(body, ReasonRequest).reason, key)

    return await take(request, SCOPE, draft)


async def _ask(request: Request, name: str | None) -> dict[str, Any]:
    gateway = gateway_of(request)
    drafts = drafts_of(gateway, gateway.bearers.admit(request, SCOPE))
    answer = await gateway.asker.ask(campaigns.question(drafts, name))
    if answer is None:
        raise ApiError(503, "unavailable", "nobody answered in time")
    return answer


def _start(drafts: Drafter, body: bytes, key: str | None) -> Parcel:
    asked = read_json(body, CampaignRequest)
    details = campaigns.Details(
        segment=asked.segment,
        at=asked.at,
        local_time=asked.local_time,
        rate=asked.rate,
        cap=asked.cap,
        idempotency_key=key,
    )
    return campaigns.start(drafts, asked.name, asked.purpose, asked.template, asked.data, details)
