"""What a mail's record and its events, or a withdrawal's receipt, come to as one fact of the statistics. Pure.

A fact has one state and no other: what was sent and bounced is bounced. What a machine opened was not opened.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

from preklic_workers.packing import Fact, Key
from preklic_workers.store import Doc, Event

SEVERAL: Final = "several"  # the purpose of one no to several of them: it is one fact all the same
# What the states of a mail are counted as; any other counts by its own name.
COUNTED_AS: Final[Mapping[str, str]] = {
    "complained": "sent",
    "claimed": "waiting",
    "deferred": "waiting",
    "scheduled": "waiting",
    "asked": "in_doubt",
    "assumed": "in_doubt",
    "discarded": "dead",
}
_WITH_REASON: Final = frozenset({"refused", "failed"})
# Of these mails a body went out, or may have: only they can have been read.
LEFT: Final = frozenset({"sent", "bounced", "complained", "in_doubt", "asked", "assumed"})


def by_people(event: Event) -> bool:
    """Whether a person did it, and no mail program or scanner."""
    return event.verdict == "human"


def mail(doc: Doc, events: Iterable[Event]) -> Fact:
    """The fact of one mail of a known person; its provider is still to be filled in."""
    happened = {event.kind for event in events if event.kind == "bounced" or by_people(event)}
    recorded: str = doc["state"]
    state = COUNTED_AS.get(recorded, recorded)
    if doc["state"] == "complained":
        happened.add("complained")
    if state == "sent" and "bounced" in happened:
        state = "bounced"
    reason = doc.get("reason", "") if state in _WITH_REASON else ""
    reads = " ".join(sorted(happened & {"clicked", "complained", "opened"}))
    key = Key(doc["purpose"], doc["template"], "", state, reason, reads)
    return Fact(doc["_id"], doc["person"], _day(doc["created"]), key)


def withdrawal(doc: Doc) -> Fact | None:
    """The fact of one withdrawal; None for what names no purpose, such as a bounce's suppression."""
    purposes = doc["purposes"]
    if not purposes:
        return None
    key = Key(purposes[0] if len(purposes) == 1 else SEVERAL, "", "", "withdrawn")
    return Fact(doc["_id"], doc["person"], _day(doc["accepted"]), key)


def _day(moment: dt.datetime) -> dt.date:
    return moment.astimezone(dt.UTC).date()
