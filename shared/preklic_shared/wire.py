"""The wire form of jobs: one strict JSON inside a dramatiq message.

What a parser does not know it refuses: `Malformed` names the field, never its value. A newer version of a known
kind is no fault of the job: `NewerVersion` parks it.
"""

import json
import re
from typing import Any, NoReturn, TypeVar

import msgspec

from preklic_shared.canonical import encode as encode  # noqa: PLC0414 -- the wire form is written and read by one name
from preklic_shared.canonical import job_in, payload_in
from preklic_shared.job_fields import JobId, Millis, Producer
from preklic_shared.jobs import ACTORS, PAYLOADS, CampaignPayload, EnrichPayload, Job, Payload, SendJob, SendPayload

_T = TypeVar("_T")

BODY_LIMIT = 256 * 1024
MAIL_LIMIT = 768 * 1024  # a mail may bring files: preklic_shared.attachments
MAX_DEPTH = 16
_NESTED = (dict, list)

_MAILS = frozenset(queue for kind, queue in ACTORS.values() if kind is SendJob)
_ENVELOPE = {
    "queue_name": str,
    "actor_name": str,
    "args": list,
    "kwargs": dict,
    "options": dict,
    "message_id": str,
    "message_timestamp": int,
}


class Malformed(ValueError):
    """A body that is no job. `reason` is the dead letter's reason, `field` the place at fault."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"{reason}: {field}" if field else reason)
        self.reason = reason
        self.field = field


class NewerVersion(Exception):
    """A known `kind` in a version that this process does not know yet; it is parked until it expires.

    Of `header` all is known that no version may change: id, producer, at, expires.
    """

    def __init__(self, kind: str, header: "Newer") -> None:
        super().__init__("newer version")
        self.kind = kind
        self.header = header


class Newer(msgspec.Struct, frozen=True, kw_only=True):
    """What every version of a job has, whatever else it brings. Times are milliseconds since 1970."""

    id: JobId
    producer: Producer
    at: Millis
    expires: Millis


def decode(body: bytes, queue: str) -> tuple[str, Job]:
    """Actor and job of a body that came from `queue`.

    Raises Malformed (too_large, bad_envelope, bad_options, wrong_queue, unknown_actor, malformed) or NewerVersion.
    """
    check_size(body, limit_of(queue))
    return job_in(body, queue) or decode_closely(body, queue)


def decode_closely(body: bytes, queue: str) -> tuple[str, Job]:
    """`decode`, step by step: what is wrong with a body gets its name here."""
    envelope = strict_json(body)
    check_shape(envelope)
    check_options(envelope)
    actor = envelope["actor_name"]
    check_actor(actor)
    kind, home = ACTORS[actor]
    check_home(envelope, home, queue)
    check_arguments(envelope)
    job = _job(kind, envelope["kwargs"]["job"])
    if envelope["message_id"] != job.id:
        raise Malformed("malformed", "message_id")
    return actor, job


def limit_of(queue: str) -> int:
    """The octets that a job of that queue may have."""
    return MAIL_LIMIT if queue in _MAILS else BODY_LIMIT


def check_size(body: bytes, limit: int = BODY_LIMIT) -> None:
    """Malformed for a body that is longer than any job of its kind."""
    if len(body) > limit:
        raise Malformed("too_large")


def check_shape(envelope: object) -> None:
    """Malformed unless these are dramatiq's seven fields, each of exactly its type."""
    if not isinstance(envelope, dict):
        raise Malformed("bad_envelope")
    for name, kind in _ENVELOPE.items():
        if type(envelope.get(name)) is not kind:
            raise Malformed("bad_options" if name == "options" else "bad_envelope", name)
    if len(envelope) != len(_ENVELOPE):
        raise Malformed("bad_envelope", "unknown key")


def check_options(envelope: dict[str, Any]) -> None:
    """Malformed for any option: a message may not choose how it is run."""
    if envelope["options"]:
        raise Malformed("bad_options", "options")


def check_actor(actor: str) -> None:
    """Malformed for an actor that no kind of job has."""
    if actor not in ACTORS:
        raise Malformed("unknown_actor", "actor_name")


def check_home(envelope: dict[str, Any], home: str, queue: str) -> None:
    """Malformed unless the actor's queue, the envelope's and the one it came from are the same."""
    if home != queue or envelope["queue_name"] != queue:
        raise Malformed("wrong_queue", "queue_name")


def check_arguments(envelope: dict[str, Any]) -> None:
    """Malformed unless the one argument is a job."""
    if envelope["args"]:
        raise Malformed("malformed", "args")
    if set(envelope["kwargs"]) != {"job"} or not isinstance(envelope["kwargs"]["job"], dict):
        raise Malformed("malformed", "kwargs")


def decode_payload(kind: type[Job], data: bytes) -> Payload:
    """The payload that a job of `kind` sealed; Malformed where it is not one."""
    payload = payload_in(kind, data) or convert(strict_json(data), PAYLOADS[kind], "sealed")
    if isinstance(payload, SendPayload | EnrichPayload | CampaignPayload):
        check_keys(payload.data)
    return payload


def check_keys(value: object) -> None:
    """Refuse JSON that a database could read as an operator or a path: keys with `$` first, `.` or NUL."""
    names: list[Any] = []
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                names += one
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = [one for one in inner if isinstance(one, _NESTED)]
        if not level:
            break
    if any(level):  # what they hold would be too deep
        raise Malformed("malformed", "data")
    _check_names(names)


def _check_names(names: list[Any]) -> None:
    # Joined by what none of them may hold: then the signs can be looked for in all of them at once.
    try:
        joined = ".".join(names)
    except TypeError:  # a name that is no text
        raise Malformed("malformed", "data") from None
    if joined.startswith("$") or ".$" in joined or "\0" in joined or joined.count(".") >= max(len(names), 1):
        raise Malformed("malformed", "data")


def _job(kind: type[Job], fields: dict[str, Any]) -> Job:
    version = fields.get("v", 1)
    if type(version) is int and version > kind.VERSION:
        raise NewerVersion(kind.KIND, convert(fields, Newer, "job"))
    return convert(fields, kind, "job")


def convert(value: object, kind: type[_T], place: str) -> _T:
    """`value` as a strict `kind`; Malformed names the field and never shows the value."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Malformed("malformed", _place(str(error), place)) from None


def _place(message: str, place: str) -> str:
    # msgspec ends its messages in "at `$.path`"; missing and unknown fields stand in backticks before that.
    path = re.search(r" - at `\$\.?([A-Za-z0-9_.\[\]]{0,80})", message)
    named = re.search(r"(?:missing required|unknown) field `([A-Za-z0-9_]{1,40})`", message)
    return ".".join(part for part in (place, path and path[1], named and named[1]) if part)


def strict_json(data: bytes) -> Any:
    """JSON by RFC 8259 in UTF-8, without what is merely tolerated: duplicate names, NaN, over-long integers, depth.

    What is written as our own encoder writes it needs no closer look: of a name that stands twice one would be lost.
    """
    try:
        value = msgspec.json.decode(data)
        if msgspec.json.encode(value) == data:
            return value
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        pass
    return _read_closely(data)


def _read_closely(data: bytes) -> Any:
    try:
        text = data.decode()
        value = _DECODER.decode(text)
        if "\\u" in text:
            check_characters(value)
    except (ValueError, RecursionError):
        raise Malformed("bad_envelope") from None
    return value


def check_characters(value: object) -> None:
    """ValueError for half a surrogate pair: it has no UTF-8, so no database and no seal could take it."""
    json.dumps(value, ensure_ascii=False).encode()


def check_names(pairs: list[tuple[str, Any]]) -> None:
    """ValueError where an object has the same name twice: two parsers could read two different jobs."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("duplicate name")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    check_names(pairs)
    return dict(pairs)


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
