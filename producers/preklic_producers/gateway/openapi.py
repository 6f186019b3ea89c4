"""`/openapi.json` (OpenAPI 3.1), made from the very types that the intake reads."""

from functools import cache
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from preklic_producers.gateway import campaigns_openapi, webhooks_openapi
from preklic_producers.gateway.requests import (
    BatchRequest,
    CampaignRequest,
    CheckRequest,
    ConsentRequest,
    EventRequest,
    MessageRequest,
    ProfileRequest,
    ReasonRequest,
    WithdrawalRequest,
)

_POSTS: Final = (
    ("/v1/messages", "messages", MessageRequest),
    ("/v1/messages/batch", "messages", BatchRequest),
    ("/v1/consents", "consents", ConsentRequest),
    ("/v1/consents/withdraw", "consents", WithdrawalRequest),
    ("/v1/profiles", "profiles", ProfileRequest),
    ("/v1/events", "events", EventRequest),
    ("/v1/customers/check", "customers", CheckRequest),
    ("/v1/campaigns", "campaigns", CampaignRequest),
    ("/v1/campaigns/{name}/pause", "campaigns", ReasonRequest),
    ("/v1/campaigns/{name}/resume", "campaigns", ReasonRequest),
    ("/v1/campaigns/{name}/stop", "campaigns", ReasonRequest),
)
_ERRORS: Final = {
    "400": "not strict JSON, or a body that was cut",
    "401": "no bearer token of this gateway",
    "403": "the token lacks the scope",
    "409": "the first request with this Idempotency-Key is under way",
    "413": "the body is too large",
    "422": "a field is at fault, or the Idempotency-Key was used with another body",
    "429": "too many questions in this minute",
    "503": "neither broker nor outbox takes jobs, or nobody answered in time",
}
_TAKEN: Final = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {"id": {"type": "string", "format": "uuid"}, "status": {"enum": ["queued", "stored"]}},
}
_ERROR: Final = {
    "type": "object",
    "required": ["message", "code", "field"],
    "properties": {
        "message": {"type": "string"},
        "code": {"type": "string"},
        "field": {"type": ["string", "null"]},
    },
}


async def openapi(_request: Request) -> Response:
    """GET /openapi.json."""
    return JSONResponse(document())


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    kinds = [kind for _, _, kind in _POSTS]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {
        path: {"post": _post(path, scope, schema)} for (path, scope, _), schema in zip(_POSTS, schemas, strict=True)
    }
    paths["/v1/campaigns"]["get"], one = campaigns_openapi.told(_errors())
    paths["/v1/campaigns/{name}"] = {"get": one}
    paths["/v1/messages/{id}"] = {"get": _status()}
    paths["/v1/partners/statistics"] = {"get": _statistics()}
    paths |= webhooks_openapi.paths(_error_content())
    return {
        "openapi": "3.1.0",
        "info": {"title": "Preklic gateway", "version": "1"},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "postmark": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _post(path: str, scope: str, schema: dict[str, Any]) -> dict[str, Any]:
    many, check = path.endswith("/batch"), path.endswith("/check")
    data = {"type": "array", "items": _TAKEN} if many else _existing() if check else _TAKEN
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 200}}
    return {
        "summary": f"needs the scope {scope}",
        "parameters": ([campaigns_openapi.NAMED] if "{name}" in path else []) + ([] if check else [key]),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200" if check else "202": _data(data), **_errors()},
    }


def _status() -> dict[str, Any]:
    identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    data = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "status": {"type": "string"},
            "reason": {"type": ["string", "null"]},
        },
    }
    missing = {"404": {"description": "no such job is recorded"}}
    return {
        "summary": "needs the scope status",
        "parameters": [identifier],
        "responses": {"200": _data(data), **missing, **_errors()},
    }


def _statistics() -> dict[str, Any]:
    days = [{"name": name, "in": "query", "schema": {"type": "string", "format": "date"}} for name in ("from", "to")]
    counts = {"type": "object", "additionalProperties": {"type": "integer", "multipleOf": 10}}
    data = {"type": "object", "properties": {"campaign": {"type": "string"}, "counts": counts}}
    return {
        "summary": "needs the scope partner:<campaign>",
        "parameters": days,
        "responses": {"200": _data(data), **_errors()},
    }


def _existing() -> dict[str, Any]:
    return {"type": "object", "required": ["existing"], "properties": {"existing": {"type": "boolean"}}}


def _data(schema: dict[str, Any]) -> dict[str, Any]:
    whole = {"type": "object", "required": ["data"], "properties": {"data": schema}}
    return {"description": "taken", "content": {"application/json": {"schema": whole}}}


def _errors() -> dict[str, Any]:
    return {code: {"description": text, **_error_content()} for code, text in _ERRORS.items()}


def _error_content() -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
