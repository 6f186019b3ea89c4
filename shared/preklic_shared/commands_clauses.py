"""`preklic clauses`: the policy clause by clause, and what this software makes of it."""

import datetime as dt
from typing import Annotated

import typer
from rich.markup import escape

from preklic_shared.clause_words import PHRASES
from preklic_shared.clauses import House, entries, explained, facts, find, key_of
from preklic_shared.cli import Code, Json, Stop, say, settings, show, show_json
from preklic_shared.purposes import Promise, Purpose
from preklic_shared.registry import load_registry

_LISTED = ("clause", "key", "slovensko", "english", "basis", "days", "stop")


def clauses(
    clause: Annotated[str | None, typer.Argument(help="One clause in full: its id (U7) or its key (storage).")] = None,
    *,
    as_json: Json = False,
) -> None:
    """What is done with an address, on which legal basis, for how long and by whom, as the registry says it.

    The software supports a policy; it does not make a company lawful.

    Example: `preklic clauses U7`
    """
    config = settings()
    registry = load_registry(config.registry)
    house = House(registry, config.processors, dt.datetime.now(dt.UTC).date())
    found = entries(registry) if clause is None else find(registry, clause)
    if not found:
        raise Stop(Code.USAGE, "the registry has no such clause", "preklic clauses shows all")
    if as_json:
        show_json([facts(entry, house) for entry in found])
    elif clause is None:
        show([_row(entry) for entry in found], _LISTED, title=f"Clauses of {registry.controller}", as_json=False)
    else:
        for entry in found:
            _tell(entry, house)


def _row(entry: Promise | Purpose) -> dict[str, object]:
    row: dict[str, object] = {"clause": entry.clause, "key": key_of(entry)}
    if isinstance(entry, Promise):
        return row | {"slovensko": _start(entry.text.sl), "english": _start(entry.text.en)}
    return row | {
        "slovensko": entry.title.sl,
        "english": entry.title.en,
        "basis": entry.basis,
        "days": entry.retention_days,
        "stop": "yes" if entry.revocable else "no",
    }


def _start(text: str, longest: int = 48) -> str:
    return text if len(text) <= longest else text[:longest].rpartition(" ")[0] + " ..."


def _tell(entry: Promise | Purpose, house: House) -> None:
    say(f"[bold]{entry.clause}[/] {key_of(entry)}")
    for language in PHRASES:
        say(f"\n  [italic]{escape(entry.text.sl if language == 'sl' else entry.text.en)}[/]")
        for label, text in explained(entry, house, language):
            say(f"  {label}: {escape(text)}")
