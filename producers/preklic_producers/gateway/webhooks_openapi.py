"""How `/openapi.json` describes the webhooks that providers call."""

from typing import Any, Final

_CHECKS: Final[dict[str, tuple[str, list[dict[str, list[str]]]]]] = {
    "ses": ("Amazon SNS posts a notification of Amazon SES: signature version 1 or 2, of a topic in the settings", []),
    "sendgrid": ("SendGrid posts a batch of events: ECDSA signature over timestamp and body", []),
    "mailgun": ("Mailgun posts one event: HMAC-SHA256 of timestamp and token", []),
    "postmark": ("Postmark posts one record: HTTP Basic, in production over TLS alone", [{"postmark": []}]),
}
_COUNTS: Final = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in ("taken", "ignored", "set_aside", "repeated")},
}
_REFUSALS: Final = {
    "403": "not believed: signature, topic, certificate or time",
    "404": "this provider is not set up here",
    "413": "the body is larger than 1 MB",
    "503": "it could not be taken or checked now: send it again",
}


def paths(errors: dict[str, Any]) -> dict[str, Any]:
    """The four paths; `errors` is the content of an error's answer."""
    return {f"/webhooks/{name}": {"post": _post(name, errors)} for name in _CHECKS}


def _post(name: str, errors: dict[str, Any]) -> dict[str, Any]:
    summary, security = _CHECKS[name]
    refusals = dict(_REFUSALS)
    if name == "postmark":
        refusals["401"] = "not the password, or not over TLS (after a 403 Postmark would not try again)"
        del refusals["403"]
    done = {"type": "object", "required": ["data"], "properties": {"data": _COUNTS}}
    taken = {"description": "all of it is safe", "content": {"application/json": {"schema": done}}}
    schema = {"type": "array" if name == "sendgrid" else "object"}
    return {
        "summary": summary,
        "security": security,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": taken, **{code: {"description": said, **errors} for code, said in refusals.items()}},
    }
