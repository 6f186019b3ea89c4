"""What a change of a document means to those outside, and the job that says it. Pure.

An id is the UUIDv5 of endpoint, event and document, so a change that is read twice is one event to its receiver. A
mail reaches the same state twice only with nothing told in between (in doubt, sent once more, in doubt): that is no
news. A switch may stop again after it was let go, so its moment is part of its id.
"""

import datetime as dt
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from preklic_shared.jobs import WebhookJob
from preklic_shared.webhooks_out import MESSAGE_STATES, WebhookOut
from preklic_workers.moments import millis

_EVENTS: Final = uuid.UUID("b1d1d37e-5d0f-5c38-9a55-0f6c8a3f2c11")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}", re.ASCII)
_ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)
_ERASED: Final = re.compile(r"erased\.(\d+)\.at")
# A document whose change is so much younger than what it says was copied back from a backup: that is no news.
OLD: Final = dt.timedelta(days=1)
# A job's own limit; a receiver's patience of a day ends long before, and a dead letter may be replayed until then.
KEPT: Final = dt.timedelta(days=14)
PRODUCER: Final = "upkeep"

Doc = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one document: `fields` are those that changed, or all of a new one; `at` is when it was written."""

    collection: str
    id: str
    fields: Doc
    at: dt.datetime
    new: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What was read to understand changes: mails and receipts by id, persons' pids (hex) by suppression hash."""

    mails: Mapping[str, Doc] = field(default_factory=dict)
    receipts: Mapping[str, Doc] = field(default_factory=dict)
    pids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `about` names the document (and what of it) for the id, `data` are fields of a WebhookJob."""

    type: str
    about: str
    at: dt.datetime
    data: Mapping[str, Any]


def events_of(change: Change, known: Known) -> list[Event]:
    """The events in a change: none or one, or one for each person that a withdrawal erased."""
    read = {"messages": _of_mail, "permissions": _of_grant, "withdrawals": _of_receipt, "controls": _of_switch}
    return [event for event in read[change.collection](change, known) if is_news(event.at, change.at)]


def is_news(at: dt.datetime, written: dt.datetime) -> bool:
    """Whether what happened at `at` and was written at `written` is told."""
    return written - at < OLD


def jobs_of(events: Sequence[Event], endpoints: Sequence[WebhookOut], now: dt.datetime) -> list[WebhookJob]:
    """One job for each event and each endpoint that wants it, in the order of the events."""
    return [job_of(event, one.name, now) for event in events for one in endpoints if event.type in one.events]


def job_of(event: Event, endpoint: str, now: dt.datetime) -> WebhookJob:
    """The job that tells one endpoint."""
    return WebhookJob(
        id=str(uuid.uuid5(_EVENTS, f"{endpoint}\0{event.type}\0{event.about}")),
        producer=PRODUCER,
        at=millis(now),
        expires=millis(now + KEPT),
        endpoint=endpoint,
        event=event.type,
        happened=millis(event.at),
        **event.data,
    )


def ids_about(message: str, endpoints: Sequence[WebhookOut]) -> set[str]:
    """The ids of all jobs that tell these endpoints of this mail."""
    names = [(one.name, f"message.{state}") for one in endpoints for state in MESSAGE_STATES]
    return {str(uuid.uuid5(_EVENTS, f"{endpoint}\0{kind}\0{message}")) for endpoint, kind in names}


def body_of(job: WebhookJob) -> bytes:
    """The request's body: `type`, `timestamp` (ISO 8601, when it happened) and `data`; the same at every attempt."""
    head = {"id", "v", "producer", "at", "expires", "traceparent", "endpoint", "event", "happened"}
    data = {name: value for name, value in msgspec.to_builtins(job).items() if name not in head and value is not None}
    at = dt.datetime.fromtimestamp(job.happened / 1000, dt.UTC)
    told = {"type": job.event, "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{job.happened % 1000:03}Z", "data": data}
    return msgspec.json.encode(told)


def erased_in(change: Change, receipt: Doc) -> Iterator[Doc]:
    """The persons whose erasure this change of a receipt completed: the receipt's entries."""
    entries: Sequence[Doc] = receipt.get("erased", ())
    whole = {entry["person"] for entry in change.fields.get("erased", ()) if "at" in entry}
    ended = {int(found[1]) for name in change.fields if (found := _ERASED.fullmatch(name))}
    return (
        each for number, each in enumerate(entries) if "at" in each and (number in ended or each["person"] in whole)
    )


def _of_mail(change: Change, known: Known) -> Iterator[Event]:
    state, doc = change.fields.get("state"), known.mails.get(change.id)
    if state not in MESSAGE_STATES or doc is None or doc["kind"] != "send":
        return
    # What did not change is not among the changed fields; it is the document's, unless that went on meanwhile.
    said = {name: doc.get(name) for name in ("reason", "reply")} if doc["state"] == state else {}
    said |= {name: change.fields[name] for name in ("reason", "reply") if name in change.fields}
    reply = said.get("reply") or {}
    yield Event(
        f"message.{state}",
        change.id,
        change.fields.get("at", change.at),
        {
            "message": change.id,
            "person": known.pids.get(doc.get("person", "")),
            "purposes": (doc["purpose"],) if "purpose" in doc else None,
            "template": _word(doc.get("template")),
            "campaign": _word(doc.get("campaign")),
            "reason": _word(said.get("reason")),
            "code": code if isinstance(code := reply.get("code"), int) and 100 <= code <= 999 else None,
            "enhanced": text if _ENHANCED.fullmatch(text := str(reply.get("enhanced", ""))) else None,
        },
    )


def _of_grant(change: Change, known: Known) -> Iterator[Event]:
    row = change.fields
    # A list that was imported is told by the import itself: no endpoint wants a million of these.
    if change.new and row.get("action") == "granted" and row.get("method") != "import":
        job = change.id.partition(":")[0]
        data = {"grant": job, "person": known.pids.get(row["person"]), "purposes": (row["purpose"],)}
        yield Event("permission.granted", change.id, row["recorded"], data)


def _of_receipt(change: Change, known: Known) -> Iterator[Event]:
    if change.new:
        row = change.fields
        data: dict[str, Any] = {"withdrawal": change.id, "person": known.pids.get(row["person"])}
        data |= {"purposes": tuple(row["purposes"]) or None, "reason": _word(row["reason"])}
        yield Event("permission.withdrawn", change.id, row["closed"], data)
    for entry in erased_in(change, known.receipts.get(change.id, {})):
        data = {"withdrawal": change.id, "person": known.pids.get(entry["person"])}
        yield Event("person.erased", f"{change.id}:{entry['person']}", entry["at"], data)


def _of_switch(change: Change, _known: Known) -> Iterator[Event]:
    if change.fields.get("stopped") is True:
        at = change.fields.get("at", change.at)
        yield Event("control.stopped", f"{change.id}:{millis(at)}", at, {"control": _word(change.id)})


def _word(value: object) -> str | None:
    """A word or code as it is, None for anything that could be free text."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
