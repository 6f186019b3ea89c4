"""How `/openapi.json` describes what the gateway tells of campaigns."""

from typing import Any, Final

NAMED: Final = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 60}}
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_TIME: Final = {"type": "string", "format": "date-time"}
_ROW: Final[dict[str, Any]] = {
    "name": _TEXT,
    "purpose": _TEXT,
    "template": _TEXT,
    "state": {"enum": ["running", "paused", "stopped", "done", None]},
    "at": _TIME,
    "walked": _COUNT,
    "published": _COUNT,
    "local_time": _TEXT | {"description": "a wall clock, as 2026-12-01T09:00:00"},
}
_MAIL: Final = {"variant": _COUNT, "state": _TEXT, "reason": _TEXT, "count": _COUNT}
_ASKED: Final = {"id": _TEXT, "by": _TEXT, "at": _TIME, "state": _TEXT, "reason": _TEXT}


def told(responses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The operations `GET /v1/campaigns` and `GET /v1/campaigns/{name}`; `responses` are those of every error."""
    mails = _list(_MAIL) | {"type": ["array", "null"], "description": "null where to count them would take too long"}
    whole = _ROW | {"stopped": {"type": "boolean"}, "scheduled": _COUNT, "mails": mails, "asked": _list(_ASKED)}
    missing = {"404": {"description": "no such campaign is recorded, and nothing was asked of one"}}
    one = {"type": "object", "properties": whole}
    return _get(_list(_ROW), responses), _get(one, responses | missing) | {"parameters": [NAMED]}


def _get(data: dict[str, Any], responses: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": ["data"], "properties": {"data": data}}
    answer = {"description": "as the worker knows it now", "content": {"application/json": {"schema": schema}}}
    return {"summary": "needs the scope campaigns", "responses": {"200": answer, **responses}}


def _list(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": properties}}
