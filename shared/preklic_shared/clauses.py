"""A registry as its clauses: what is done with an address, on which basis, for how long, by whom, until when. Pure.

`facts` is for programs, `explained` for people.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from preklic_shared.clause_words import BASES, GROUPS, LABELS, PHRASES, STOPS, Language
from preklic_shared.policy_text import digest
from preklic_shared.purposes import Promise, Purpose, Words
from preklic_shared.registry import ENGAGEMENT, Registry
from preklic_shared.settings import Processor

# Clauses whose use hands an address to the companies that deliver mail: the mails, and the clause that says so.
_HANDED_OVER: Final = "U8"
_STORAGE: Final = "U7"


@dataclass(frozen=True, slots=True)
class House:
    """Whose clauses they are, and who works for the controller on that day (promise P1: nobody else)."""

    registry: Registry
    processors: Sequence[Processor]
    today: dt.date

    def under_contract(self) -> list[Processor]:
        """The processors whose contract covers the day; ISO 8601 days compare as texts."""
        return [each for each in self.processors if each.valid_from <= self.today.isoformat() <= each.valid_to]


def entries(registry: Registry) -> list[Promise | Purpose]:
    """All clauses in the registry's order."""
    return [*registry.promises, *registry.purposes.values()]


def find(registry: Registry, name: str) -> list[Promise | Purpose]:
    """The entries of a clause (`U7`, in any case) or of a key (`storage`)."""
    return [each for each in entries(registry) if name.upper() == each.clause or (name and name == key_of(each))]


def key_of(entry: Promise | Purpose) -> str:
    """The registry's key of a purpose; a promise has none."""
    return entry.key if isinstance(entry, Purpose) else ""


def facts(entry: Promise | Purpose, house: House) -> dict[str, Any]:
    """One clause as JSON values. `policy` holds the policy's own words and `sha256` their hash."""
    found: dict[str, Any] = {
        "clause": entry.clause,
        "policy": entry.text,
        "sha256": digest(entry.text.sl),
        "does": entry.does,
    }
    if isinstance(entry, Promise):
        return found
    plain = ("key", "title", "basis", "mail", "revocable", "groups", "tracking", "double_opt_in", "retention_days")
    found |= {name: getattr(entry, name) for name in (*plain, "sender", "reading", "record")}
    companies = house.under_contract() if _handed_over(entry) else ()
    return found | {
        "stop": Words(sl=STOPS["sl"][_stop(entry)], en=STOPS["en"][_stop(entry)]),
        "controller": house.registry.controller,
        "processors": [{"name": one.name, "country": one.country, "until": one.valid_to} for one in companies],
    }


def explained(entry: Promise | Purpose, house: House, language: Language) -> Iterator[tuple[str, str]]:
    """What there is to say of one clause, each line with its label, in this language."""
    if entry.does is not None:
        yield LABELS[language]["does"], said(entry.does, language)
    if isinstance(entry, Purpose):
        for name, text in _of_purpose(entry, house, language):
            yield LABELS[language][name], text


def said(words: Words | str, language: Language) -> str:
    """Words in this language; a text that stands in one language alone, as it is."""
    if isinstance(words, str):
        return words
    return words.sl if language == "sl" else words.en


def _of_purpose(purpose: Purpose, house: House, language: Language) -> Iterator[tuple[str, str]]:
    phrases = PHRASES[language]
    yield "basis", BASES[language][purpose.basis]
    kept = phrases["storage" if purpose.clause == _STORAGE else "kept"]
    yield "kept", kept.format(days=purpose.retention_days)
    yield "groups", ", ".join(GROUPS[language][group] for group in purpose.groups) or phrases["nothing"]
    sender = "" if purpose.sender is None else f": {purpose.sender.name} <{purpose.sender.address}>"
    yield "who", f"{house.registry.controller}{sender}"
    if _handed_over(purpose):
        companies = [f"{one.name} ({one.country}, {phrases['until']} {one.valid_to})" for one in house.under_contract()]
        yield "processors", ", ".join(companies) or phrases["nobody"]
    yield "stop", STOPS[language][_stop(purpose)]
    if purpose.reading:
        yield "reading", said(purpose.reading, language)
    if purpose.record is not None:
        kind = phrases.get(purpose.record.kind, purpose.record.kind)
        yield "record", f"{kind} {phrases['dated']} {purpose.record.date.isoformat()} ({purpose.record.file})"


def _handed_over(purpose: Purpose) -> bool:
    return purpose.mail or purpose.clause == _HANDED_OVER


def _stop(purpose: Purpose) -> str:
    """Which of the ways to stop it there is."""
    if not purpose.revocable:
        return purpose.basis
    if purpose.mail:
        return "mail"
    if purpose.key == ENGAGEMENT:
        return "tracking"
    return "consent" if purpose.basis == "consent" else "objection"
