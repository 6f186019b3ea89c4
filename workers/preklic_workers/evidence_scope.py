"""What a bundle of evidence is about: which leaves belong to it, and who looked at it and why (chain of custody)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from preklic_workers.ledger.leaves import plain
from preklic_workers.ledger.runs import Run
from preklic_workers.store import Act, Store

_OF_CONSENT: Final = frozenset({"permissions", "withdrawals"})


@dataclass(frozen=True, slots=True)
class About:
    """One of: a `record` (a mail's or another job's id), a `person` (the suppression hash), a `case` of holds."""

    record: str | None = None
    person: str | None = None
    case: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The leaves of these `records` (ids), and of these `persons`: all of them, or with `mails` their consent alone.

    `mails` are the mails whose octets and events belong to it; None: every mail of those persons. `custody` is what was
    done about it, the oldest first. `batches` are those that records of it share a leaf with others in.
    """

    persons: frozenset[str]
    records: frozenset[str]
    mails: frozenset[str] | None
    custody: Sequence[Act]
    batches: frozenset[str] = frozenset()

    def wants(self, run: Run, place: int) -> bool:
        """Whether this leaf of the run belongs to it."""
        kind, _, record = run.records[place - run.start].partition(":")
        if run.persons[place - run.start] in self.persons and (self.mails is None or kind in _OF_CONSENT):
            return True
        if kind == "batches":
            return record in self.batches
        return (record.partition(":")[0] if kind == "copies" else record) in self.records

    def narrow(self) -> str | None:
        """The one person whose runs hold all of its leaves; None where any run may."""
        persons = self.persons | {act.person for act in self.custody}
        return next(iter(persons)) if len(persons) == 1 else None


async def scope_of(store: Store, about: About) -> Scope:
    """What belongs to a bundle about this. Raises Unavailable."""
    if about.case is not None:
        return await _case(store, about.case)
    if about.record is not None:
        acts = await store.acts.on_record(about.record)
        person = (await store.messages.show(about.record) or {}).get("person")
        records = frozenset({about.record, *(act.id for act in acts)})
        return Scope(frozenset({person} if person else ()), records, frozenset({about.record}), acts)
    assert about.person is not None  # About names one of the three
    acts = await store.acts.about_person(about.person)
    return Scope(frozenset({about.person}), frozenset(), None, acts)


async def _case(store: Store, case: str) -> Scope:
    acts = of_case(await store.acts.near_case(case), case)
    holds = [act for act in acts if act.kind == "hold_added"]
    mails = set(await store.holds.mail_ids([act.id for act in holds]))
    for act in holds:
        if act.facts.get("octets") and act.person is not None and act.at is not None:
            mails |= await store.holds.copies.since(act.person, act.at)
    persons = frozenset(act.person for act in holds if act.person is not None)
    return Scope(persons, frozenset(mails | {act.id for act in acts}), frozenset(mails), acts)


def of_case(acts: Sequence[Act], case: str) -> list[Act]:
    """Those of the acts that name the case, a hold for it, or a request that names it: another case stays closed."""
    holds = {act.id for act in acts if act.kind == "hold_added" and act.facts.get("case") == case}
    named = {act.id for act in acts if case in {act.why, act.facts.get("case"), act.facts.get("order")}}
    named |= {act.id for act in acts if any(hold in _texts(act) for hold in holds)}
    requests = {act.facts["request"] for act in acts if act.id in named and "request" in act.facts}
    return [act for act in acts if act.id in named or act.facts.get("request") in requests]


def _texts(act: Act) -> str:
    return " ".join((act.id, act.why, *(text for text in act.facts.values() if isinstance(text, str))))


def told(acts: Iterable[Act]) -> list[dict[str, Any]]:
    """Acts as a bundle tells them; what an act does not say is left out."""
    rows: list[dict[str, Any]] = [
        {"id": act.id, "at": act.at, "kind": act.kind, "by": act.by, "why": act.why}
        | {"person": act.person, "facts": dict(act.facts)}
        for act in acts
    ]
    return [plain({name: value for name, value in row.items() if value}) for row in rows]
