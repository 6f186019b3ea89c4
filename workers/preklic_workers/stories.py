"""The story of a job or of a person, told from what is recorded: one line for each thing that happened. Pure.

No address is in it: what could be one is withheld, whoever wrote it where.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from preklic_workers.lifecycle import POSSIBLY_SENT
from preklic_workers.reasons import meaning
from preklic_workers.store.events import Event
from preklic_workers.store.stories import Life, Records

WITHHELD: Final = "[withheld]"
# What a state means, after its word.
_STATES: Final[Mapping[str, str]] = {
    "claimed": "a worker has it",
    "deferred": "to be tried again",
    "sent": "the relay accepted it",
    "bounced": "it came back, or the relay refused the person",
    "failed": "the relay refused it, or patience ended",
    "refused": "nothing was sent",
    "expired": "nothing was sent",
    "cancelled": "nothing was sent",
    "in_doubt": "it may have left",
    "asked": "it may have left, and a person is to say",
    "assumed": "it may have left, and is never sent again",
    "complained": "the person reported it as unwanted",
    "scheduled": "kept until its time",
}
# A claim names the relay that would carry the mail; in these states it did, or may have.
_HEARD: Final = POSSIBLY_SENT | {"failed"}
_CERTAIN: Final = frozenset({"sent", "failed", "bounced", "deferred"})


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened: when, what, by whom, and why in plain words.

    `first`: it came before all else, whatever the clock of the website says that told its time.
    """

    at: dt.datetime
    what: str
    by: str = ""
    why: str = ""
    first: bool = False


@dataclass(frozen=True, slots=True)
class Logged:
    """One publication in the log: `at` by the job's own time; `void`: it was taken back."""

    at: dt.datetime
    queue: str
    user: str
    void: bool = False


def told(records: Records, logged: Sequence[Logged] = ()) -> list[Line]:
    """The whole story of a job in order."""
    parts = (
        _published(records, logged),
        _lived(records.message),
        (_died(letter) for letter in records.dead),
        (line for letter in records.dead for line in _moved(letter)),
        (line for plan in records.plans for line in _replayed(plan)),
        (_happened(event) for event in records.events),
        _withdrawn(records.receipt, first=not logged),
        (Line(no["closed"], _noes(no), f"withdrawal {no['_id']}", no["reason"]) for no in records.noes),
        (_granted(row) for row in records.grants),
        _scheduled(records.scheduled),
        (_held(one, records.message) for one in records.hand_overs),
        (Line(act.at, act.kind.replace("_", " "), act.by, act.why) for act in records.acts if act.at is not None),
        (_hooked(one) for one in records.hooks),
    )
    return in_order(line for part in parts for line in part)


def of_person(life: Life) -> list[Line]:
    """The story of a person: permissions, mails, what became of them, withdrawals, in order."""
    parts: tuple[Iterable[Line], ...] = (
        (_granted(row) for row in life.grants),
        (line for no in life.noes for line in _withdrawn(no)),
        (_mail(doc) for doc in life.mails),
        (Line(doc["at"], f"{doc['kind']}: mail {doc['message']}", doc["verdict"], _bounce(doc)) for doc in life.events),
        (_died(letter) for letter in life.dead),
    )
    return in_order(line for part in parts for line in part)


def in_order(lines: Iterable[Line]) -> list[Line]:
    """By time, and what happened at the same moment as it was told; without a text that could be an address."""
    cleaned = [replace(one, what=safe(one.what), by=safe(one.by), why=safe(one.why)) for one in lines]
    return sorted(cleaned, key=lambda one: (not one.first, one.at))


def safe(text: str) -> str:
    """The text, unless it could hold an address (P1)."""
    return WITHHELD if "@" in text else text


def row(line: Line) -> dict[str, Any]:
    """A line as JSON values."""
    return {"at": line.at, "what": line.what, "by": line.by, "why": line.why}


def text(line: Line) -> str:
    """A line for a person."""
    by, why = (f" by {line.by}" if line.by else ""), (f": {line.why}" if line.why else "")
    return f"{line.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {line.what}{by}{why}"


def _published(records: Records, logged: Sequence[Logged]) -> Iterator[Line]:
    for number, one in enumerate(logged):
        what = "the publication was taken back: it was never confirmed" if one.void else f"published to {one.queue}"
        yield Line(one.at, what, one.user, first=number == 0)
    message = records.message or {}
    # A job that is no mail is recorded when it takes effect, not before.
    if not logged and message.get("kind") == "send":
        named = " ".join(str(message[name]) for name in ("kind", "purpose", "template") if message.get(name))
        campaign = f"campaign {message['campaign']}" if message.get("campaign") else ""
        yield Line(message["created"], f"asked for: {named}", message["producer"], campaign, first=True)


def _lived(message: Mapping[str, Any] | None) -> Iterator[Line]:
    if message is None:
        return
    history: Sequence[Mapping[str, Any]] = message.get("history", ())
    if not history:
        kind = "" if message["kind"] == "send" else f"{message['kind']}: "
        yield Line(message["at"], f"{kind}{_state(message)}", message["producer"], _reason(message))
    for entry in history:
        attempt = f", attempt {entry['epoch']}" if entry["state"] == "claimed" else ""
        by, why = entry.get("by", ""), entry.get("why") or _reason(entry)
        if entry["state"] in _CERTAIN and entry["epoch"] == message.get("ended"):
            by, why = by or _relay(message), " ".join(part for part in (_reply(message), why) if part)
        yield Line(entry["at"], _state(entry) + attempt, by, why)


def _mail(doc: Mapping[str, Any]) -> Line:
    named = " ".join(str(doc[name]) for name in ("kind", "purpose", "template") if doc.get(name))
    why = " ".join(part for part in (_reply(doc), _reason(doc)) if part)
    return Line(
        doc["created"], f"{named} {doc['_id']}: {_state(doc)}", _relay(doc) if doc["state"] in _HEARD else "", why
    )


def _state(doc: Mapping[str, Any]) -> str:
    reason = f" ({doc['reason']})" if doc.get("reason") else ""
    means = f", {_STATES[doc['state']]}" if doc["state"] in _STATES else ""
    return f"{doc['state'].replace('_', ' ')}{reason}{means}"


def _relay(doc: Mapping[str, Any]) -> str:
    return f"relay {doc['relay']} ({doc.get('processor', '')})" if doc.get("relay") else ""


def _reply(doc: Mapping[str, Any]) -> str:
    reply = doc.get("reply") or {}
    return " ".join(str(reply[name]) for name in ("code", "enhanced") if reply.get(name))


def _reason(doc: Mapping[str, Any]) -> str:
    return meaning(doc["reason"]) if doc.get("reason") else ""


def _died(letter: Mapping[str, Any]) -> Line:
    tried = f"{letter['attempts']} attempts" if letter["attempts"] != 1 else "1 attempt"
    group = f"dead letter {letter['_id']}, group {letter['fingerprint']}"
    return Line(
        letter["first"], f"dead ({letter['reason']}) in {letter['queue']} after {tried}", group, _reason(letter)
    )


def _moved(letter: Mapping[str, Any]) -> Iterator[Line]:
    if "moved" in letter:
        said = f"the dead letter is {letter['state']}"
        yield Line(letter["moved"], said, letter.get("moved_by", letter.get("by", "")), letter.get("why", ""))


def _replayed(plan: Mapping[str, Any]) -> Iterator[Line]:
    outcome = next((item.get("outcome", "") for item in plan.get("items", ())), "")
    yield Line(plan["made"], f"in the replay plan {plan['_id']}", plan.get("by", ""), outcome)
    if "begun" in plan:
        yield Line(plan["begun"], f"the replay plan {plan['_id']} ran", plan.get("run_by", ""), plan.get("reason", ""))


def _happened(event: Event) -> Line:
    said = {"bounce": event.bounce, "code": event.code, "link": event.link}
    return Line(event.at, event.kind, event.verdict, _bounce(said))


def _bounce(doc: Mapping[str, Any]) -> str:
    link = f"link {doc['link']}" if doc.get("link") is not None else ""
    return " ".join(str(part) for part in (doc.get("bounce"), doc.get("code"), link) if part)


def _noes(no: Mapping[str, Any]) -> str:
    return f"withdrawal of {', '.join(no['purposes']) or 'nothing (suppressed)'}: its gate is closed"


def _withdrawn(receipt: Mapping[str, Any] | None, *, first: bool = False) -> Iterator[Line]:
    if receipt is None:
        return
    yield Line(receipt["accepted"], "withdrawal accepted", f"job {receipt['_id']}", receipt["reason"], first)
    yield Line(receipt["closed"], _noes(receipt), f"job {receipt['_id']}")
    if "applied" in receipt:
        counts = ", ".join(f"{len(receipt.get(name, ()))} {name}" for name in ("waited", "listed"))
        yield Line(receipt["applied"], "withdrawal applied", f"job {receipt['_id']}", f"hand-overs: {counts}")


def _granted(grant: Mapping[str, Any]) -> Line:
    said = " ".join(str(grant[name]) for name in ("method", "version") if grant.get(name))
    return Line(grant["at"], f"{grant['purpose']}: {grant['action']}", grant.get("producer", ""), said)


def _scheduled(doc: Mapping[str, Any] | None) -> Iterator[Line]:
    if doc is not None:
        yield Line(doc["at"], "its time: it is published then, unless a no comes first")


def _held(one: Mapping[str, Any], message: Mapping[str, Any] | None) -> Line:
    at = one["until"] if message is None else message["at"]
    return Line(at, f"a hand-over is {one['kind']}, attempt {one['epoch']}", "", f"until {one['until']:%H:%M:%S}")


def _hooked(one: Mapping[str, Any]) -> Line:
    tried = f"{one['attempts']} attempts, waits for another"
    return Line(
        one["last"], f"webhook {one['event']} failed", f"endpoint {one['endpoint']}", f"{one['reason']}; {tried}"
    )
