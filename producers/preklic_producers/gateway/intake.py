"""The intake API of websites that do not speak AMQP: what is accepted here is with the broker or on this disk."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from preklic_producers.drafts import Drafter
from preklic_producers.fields import Rejected, id_of, key_of
from preklic_producers.gateway.bodies import read_body
from preklic_producers.gateway.context import Gateway, gateway_of
from preklic_producers.gateway.errors import ApiError
from preklic_producers.gateway.requests import (
    BATCH_LIMIT,
    BODY_LIMIT,
    MAIL_LIMIT,
    BatchRequest,
    CheckRequest,
    ConsentRequest,
    EventRequest,
    MessageRequest,
    ProfileRequest,
    WithdrawalRequest,
    read_json,
)
from preklic_producers.outbox import Parcel
from preklic_shared.redirects import of_somebody
from preklic_shared.tokens import Click, Open

REPLAYED: Final = "Idempotent-Replayed"

Draft = Callable[[Drafter, bytes, str | None], Parcel]


async def messages(request: Request) -> Response:
    """POST /v1/messages."""
    return await take(request, "messages", _message, MAIL_LIMIT)


async def consents(request: Request) -> Response:
    """POST /v1/consents."""
    return await take(request, "consents", _consent)


async def withdraw(request: Request) -> Response:
    """POST /v1/consents/withdraw."""
    return await take(request, "consents", _withdrawal)


async def profiles(request: Request) -> Response:
    """POST /v1/profiles."""
    return await take(request, "profiles", _profile)


async def events(request: Request) -> Response:
    """POST /v1/events: an open or click that a website saw itself, by its token."""
    keys = gateway_of(request).keys

    def draft(drafts: Drafter, body: bytes, key: str | None) -> Parcel:
        asked = read_json(body, EventRequest)
        token = keys.check(asked.token, Click) or keys.check(asked.token, Open)
        if isinstance(token, Click) and not of_somebody(token):
            token = None
        if token is None or isinstance(token, Click) != (asked.kind == "clicked"):
            raise Rejected("token", "is no token of a mail's link or pixel, or of the other kind")
        link = token.link if isinstance(token, Click) else None
        return drafts.track(token.message, token.pid, asked.kind, link=link, idempotency_key=key)

    return await take(request, "events", draft)


async def batch(request: Request) -> Response:
    """POST /v1/messages/batch: all are checked first; each has a status of its own."""
    gateway = gateway_of(request)
    drafts = drafts_of(gateway, gateway.bearers.admit(request, "messages"))
    body = await read_body(request, BATCH_LIMIT)

    async def act() -> list[dict[str, str]]:
        key = _key(request)
        asked = read_json(body, BatchRequest).messages
        parcels = [_of_batch(drafts, position, mail, key) for position, mail in enumerate(asked)]
        return [{"id": parcel.job, "status": await gateway.hand_over(parcel)} for parcel in parcels]

    return await _answer(request, drafts.producer, body, act)


async def check(request: Request) -> Response:
    """POST /v1/customers/check: the store answers by keyed hash, and records the question (U6)."""
    gateway = gateway_of(request)
    drafts = drafts_of(gateway, gateway.bearers.admit(request, "customers"))
    if not gateway.checks.below(drafts.producer):
        raise ApiError(429, "too_many", "too many customer checks in this minute")
    gateway.checks.add(drafts.producer)
    asked = read_json(await read_body(request, BODY_LIMIT), CheckRequest)
    answer = await gateway.asker.ask(drafts.ask_customer(asked.address))
    if answer is None or not isinstance(answer.get("existing"), bool):
        raise ApiError(503, "unavailable", "nobody answered in time")
    return JSONResponse({"data": {"existing": answer["existing"]}})


async def status(request: Request) -> Response:
    """GET /v1/messages/{id}."""
    gateway = gateway_of(request)
    drafts = drafts_of(gateway, gateway.bearers.admit(request, "status"))
    job = id_of(request.path_params["id"], "id")
    answer = await gateway.asker.ask(drafts.ask_status(job))
    if answer is None:
        raise ApiError(503, "unavailable", "nobody answered in time")
    if not isinstance(answer.get("state"), str):
        raise ApiError(404, "not_found", "no such job is recorded; it may be on its way", "id")
    return JSONResponse({"data": {"id": job, "status": answer["state"], "reason": answer.get("reason")}})


async def take(request: Request, scope: str, draft: Draft, limit: int = BODY_LIMIT) -> Response:
    """202 and the job that `draft` makes of the body, once for each Idempotency-Key."""
    gateway = gateway_of(request)
    drafts = drafts_of(gateway, gateway.bearers.admit(request, scope))
    body = await read_body(request, limit)

    async def act() -> dict[str, str]:
        parcel = draft(drafts, body, _key(request))
        return {"id": parcel.job, "status": await gateway.hand_over(parcel)}

    return await _answer(request, drafts.producer, body, act)


async def _answer(request: Request, name: str, body: bytes, act: Callable[[], Awaitable[Any]]) -> Response:
    key = _key(request)
    if key is None:
        return JSONResponse({"data": await act()}, status_code=202)
    place = (name, request.url.path, key)
    data, again = await gateway_of(request).answers.once(place, body, act)
    return JSONResponse({"data": data}, status_code=202, headers={REPLAYED: "true"} if again else None)


def drafts_of(gateway: Gateway, name: str) -> Drafter:
    """What drafts jobs in the name of this token."""
    return Drafter(name, gateway.registry, gateway.seals)


def _key(request: Request) -> str | None:
    given = request.headers.get("idempotency-key")
    try:
        return None if given is None else key_of(given)
    except Rejected as error:
        raise Rejected("Idempotency-Key", error.message) from None


def _message(drafts: Drafter, body: bytes, key: str | None) -> Parcel:
    return _mail(drafts, read_json(body, MessageRequest), key)


def _mail(drafts: Drafter, mail: MessageRequest, key: str | None) -> Parcel:
    return drafts.send(**msgspec.structs.asdict(mail), idempotency_key=key)


def _of_batch(drafts: Drafter, position: int, mail: MessageRequest, key: str | None) -> Parcel:
    try:
        return _mail(drafts, mail, None if key is None else f"{position}:{key}"[:200])
    except Rejected as error:
        raise Rejected(f"messages.{position}.{error.field}", error.message) from None


def _consent(drafts: Drafter, body: bytes, key: str | None) -> Parcel:
    asked = read_json(body, ConsentRequest)
    return drafts.grant(
        asked.address,
        asked.purposes,
        proof=asked.proof,
        ref=asked.ref,
        confirmed=asked.confirmed,
        idempotency_key=key,
    )


def _withdrawal(drafts: Drafter, body: bytes, key: str | None) -> Parcel:
    asked = read_json(body, WithdrawalRequest)
    return drafts.revoke(asked.person, asked.purposes, reason=asked.reason, erase=asked.erase, idempotency_key=key)


def _profile(drafts: Drafter, body: bytes, key: str | None) -> Parcel:
    asked = read_json(body, ProfileRequest)
    return drafts.enrich(asked.person, asked.group, asked.data, source=asked.source, idempotency_key=key)
