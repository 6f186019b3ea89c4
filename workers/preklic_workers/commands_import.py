"""`preklic import`: a list of permissions with their proofs, and of noes."""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.collector import spare_the_collector
from preklic_shared.registry import SWITCHES, Registry, load_registry
from preklic_workers import looking, store
from preklic_workers.import_file import BadFile, RowRefused
from preklic_workers.importing import Import, Progress, Summary, digest_of
from preklic_workers.keydir import KeyDirError
from preklic_workers.keyring import KeyRing
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.record import allowed
from preklic_workers.rings import ring_of
from preklic_workers.store import Act, Purposes, Store

ends_with(store.Unavailable, Code.AWAY, "run it again: it goes on where it stopped; preklic doctor shows what is away")
ends_with(KeyDirError, Code.FINDING)
ends_with(BadFile, Code.USAGE)

FACT: Final = 500  # characters of a fact
_FOR: Final = "A purpose or tracking switch that all rows are about; may repeat."


def import_list(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8, with a header.", exists=True, dir_okay=False)],
    *,
    purpose: Annotated[list[str], typer.Option("--purpose", help=_FOR)],
    reason: Annotated[str, typer.Option(help="Why; it is recorded. No address in it.")] = "import of a list",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen now; change nothing.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the line and the reason of each row that was not taken as it is.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Import permissions with their proof. The stricter answer stands: no row lifts a no, an erasure or a pending.

    Columns: `address`, `wording`, `source`, `language`, `at` (ISO 8601 with a zone), and where wanted `method`, `ref`
    and `state` (granted, pending, withdrawn, objected; a no needs no proof). Killed, it goes on when run again.
    Exit status 1: rows were refused. Needs the key directory of upkeep.

    Example: `preklic import people.csv --purpose newsletter --dry-run --report refused.csv`
    """
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    config = settings()
    purposes = _purposes(purpose, load_registry(config.registry))
    ring = ring_of(config, "upkeep")
    with file.open("rb") as opened, _refusals(report) as refuse, _bar(file) as moved:
        plan = Plan(opened, digest_of(opened), purposes, why, dry_run)

        def told(progress: Progress) -> None:
            refuse(progress.refused)
            moved(progress.octets)

        summary = looking.with_store(
            "law", lambda there, now: _run(there, load_registry(now.registry), ring, plan, told), ring
        )
    _show(summary, plan, as_json=as_json)
    if summary.refused:
        raise Stop(Code.FINDING, f"{summary.refused.total()} rows were refused", "--report FILE names them by line")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be imported, and why. `dry`: nothing changes."""

    file: BinaryIO
    digest: str
    purposes: Purposes
    why: str
    dry: bool


async def _run(
    there: Store, registry: Registry, ring: KeyRing, plan: Plan, told: Callable[[Progress], None]
) -> Summary:
    """The import, with an act before it and one after."""
    run = Import(there, registry, ring.blind, plan.purposes, plan.digest, dry=plan.dry)
    spare_the_collector()
    if plan.dry:
        return await run.run(plan.file, told)
    by = operator()
    facts: dict[str, str | int] = {"list": plan.digest, "purposes": " ".join(sorted(plan.purposes))[:FACT]}
    began = await there.acts.record(Act("import", by, plan.why, facts=facts))
    summary = await run.run(plan.file, told)
    ended: dict[str, str | int] = {"began": began, "rows": summary.rows, "refused_rows": summary.refused.total()}
    ended |= {f"{word}_answers": count for word, count in summary.answers.items()}
    await there.acts.record(Act("import_ended", by, plan.why, facts=ended))
    return summary


def _purposes(names: Sequence[str], registry: Registry) -> Purposes:
    """What the options name. A purpose that is not registered is a slip of the pen, one that is no mail is refused."""
    known = {key for key, one in registry.purposes.items() if one.mail} | set(SWITCHES)
    if strange := sorted(set(names) - known - set(registry.purposes)):
        raise Stop(Code.USAGE, f"there is no purpose {', '.join(strange)}", f"known: {', '.join(sorted(known))}")
    asked = allowed(tuple(names), registry)
    if asked is None:
        raise Stop(Code.POLICY, "nobody permits a use that is no mail", f"a list may name: {', '.join(sorted(known))}")
    purposes, switches = asked
    return {one.key: one for one in purposes} | dict.fromkeys(switches)


@contextmanager
def _refusals(report: Path | None) -> Iterator[Callable[[Sequence[RowRefused]], None]]:
    """Takes the rows that were not taken as they are; the report is there, whole, once the import has ended."""
    if report is None:
        yield lambda _rows: None
        return
    part = report.with_name(f"{report.name}.part")
    private = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(private, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "reason"))
        yield lambda rows: writer.writerows((row.line, row.reason) for row in rows)
    part.replace(report)


@contextmanager
def _bar(file: Path) -> Iterator[Callable[[int], None]]:
    """A progress bar over the octets of the file, where somebody looks."""
    console = Console(stderr=True)
    columns = TextColumn("import"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("import", total=max(1, file.stat().st_size))
        yield lambda octets: bar.update(task, completed=octets)


def _show(summary: Summary, plan: Plan, *, as_json: bool) -> None:
    answers = dict(sorted(summary.answers.items()))
    refused = dict(summary.refused.most_common())
    if as_json:
        facts = {"list": plan.digest, "purposes": sorted(plan.purposes), "dry_run": plan.dry, "rows": summary.rows}
        show_json(facts | {"answers": answers, "refused": refused})
        return
    say(
        f"{summary.rows} rows{' would be' if plan.dry else ''} imported" + (": nothing was changed" if plan.dry else "")
    )
    rows = [{"answer": word, "count": count} for word, count in answers.items()]
    show(rows, ("answer", "count"), title="Answers", as_json=False)
    if refused:
        rows = [{"reason": word, "count": count} for word, count in refused.items()]
        show(rows, ("reason", "count"), title="Refused", as_json=False)
