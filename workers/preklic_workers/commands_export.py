"""`preklic subject export`: what is recorded of a person, for that person (GDPR 15 and 20)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.registry import Registry, load_registry
from preklic_shared.settings import Settings
from preklic_workers import exporting, looking
from preklic_workers.commands_erasure import checked
from preklic_workers.envelope import Altered
from preklic_workers.exporting import Format
from preklic_workers.operating import operator
from preklic_workers.private_files import NotWritten, private_file
from preklic_workers.rings import ring_of
from preklic_workers.store import Act, Store, Whole
from preklic_workers.whom import Who, given, subjects

ends_with(NotWritten, Code.USAGE, "take a new name in a directory of yours; nothing is ever replaced")
ends_with(Altered, Code.FINDING, "a ciphertext or key of this person was changed: raise the alarm")


def export(
    who: Who,
    *,
    out: Annotated[Path, typer.Option("--out", help="A file that is not there yet; only its owner can read it.")],
    kind: Annotated[Format, typer.Option("--format", help="json for programs, html to read.")] = "html",
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "asked by the person",
    as_json: Json = False,
) -> None:
    """Write all that is recorded of a person into one file, with who received what. Recorded before it is read.

    Needs the key directory of upkeep. The file holds the address: hand it to that person alone, and delete it.

    Example: `preklic subject export - --out ana.html`, then the address on a line of its own
    """
    why, person, ring = checked(reason), given(who), ring_of(settings(), "upkeep")

    async def work(store: Store, config: Settings) -> list[dict[str, Any]]:
        meant = [each for each in await subjects(store, ring.blind, person) if await store.persons.whole(each)]
        if not meant:
            raise Stop(Code.FINDING, "nobody of that name or address is recorded")
        return await _export(store, load_registry(config.registry), meant, why, kind)

    with private_file(out) as file:
        persons = looking.with_store("law", work, ring)
        file.write(exporting.rendered(persons, kind))
    _tell(out, persons, as_json=as_json)


async def _export(
    store: Store, registry: Registry, meant: Sequence[str], why: str, kind: Format
) -> list[dict[str, Any]]:
    for subject in meant:
        await store.acts.record(Act(exporting.ACT, operator(), why, subject, {"format": kind}))
    now = store.mongo.now()
    return [exporting.export_of(await _whole(store, subject), registry, now) for subject in meant]


def _tell(out: Path, persons: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    counts = {name: sum(len(each[name]) for each in persons) for name in exporting.SECTIONS}
    if as_json:
        show_json({"file": str(out), "persons": len(persons), **counts})
    else:
        say(f"wrote {out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


async def _whole(store: Store, subject: str) -> Whole:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading mails by month", total=None)
        whole = await store.exports.whole(subject, lambda done, of: progress.update(task, completed=done, total=of))
    assert whole is not None  # nothing deletes a person's document
    return whole
