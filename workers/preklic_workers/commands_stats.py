"""`preklic stats`: what became of mails and who they went to, in groups of ten people and more (clause U15)."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show, show_json
from preklic_workers import looking, store
from preklic_workers.figures import BY, MEASURES, table
from preklic_workers.packing import GROUP
from preklic_workers.store.statistics import ClosedDay

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(store.Standalone, Code.USAGE, "start MongoDB with --replSet and initiate the set")

NOTE: Final = f"Counts are rounded to tens; groups of fewer than {GROUP} people are in no number."
_PLOTS: Final = frozenset({".svg", ".png"})

Since = Annotated[dt.datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, UTC.")]
Until = Annotated[dt.datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, UTC.")]
By = Annotated[list[str] | None, typer.Option("--by", help=f"{', '.join(BY)}; may repeat, or be a list with commas.")]
Plot = Annotated[Path | None, typer.Option(help="Draw a chart into this .svg or .png file.")]
Language = Annotated[str, typer.Option(help="Of the chart: en or sl.")]


def stats(
    *,
    by: By = None,
    since: Since = None,
    until: Until = None,
    plot: Plot = None,
    language: Language = "en",
    as_json: Json = False,
) -> None:
    """Sent, opened and clicked (by people), complained, bounced, withdrawn, refused and so on, of closed days.

    A day is closed three days after its end, by the role upkeep. By provider: people with a mailbox there, too.

    Example: `preklic stats --by provider --by month --from 2026-01-01 --plot stats.svg`
    """
    names = _names(by or [])
    _check(plot, language)
    first, last = since and since.date(), until and until.date()
    days = looking.with_store("read", lambda opened, _: opened.statistics.days(first, last))
    rows = table((cell for day in days for cell in day.cells), names)
    persons = newest_persons(days) if "provider" in names else {}
    if plot is not None:
        _draw(rows, names, plot, language)
    show_json(answer(days, names, rows, persons)) if as_json else _tell(days, names, rows, persons)


def answer(
    days: Sequence[ClosedDay], names: Sequence[str], rows: list[dict[str, Any]], persons: dict[str, Any]
) -> dict[str, Any]:
    """What `--json` prints. `closed` are the first and the last of the closed days that were asked for."""
    closed = [day.day.isoformat() for day in (days[0], days[-1])] if days else []
    return {"by": names, "rows": rows, "persons": persons, "closed": closed, "group": GROUP, "rounded_to": GROUP}


def newest_persons(days: Sequence[ClosedDay]) -> dict[str, Any]:
    """People by provider as they were counted last, with the day; empty when they were not counted."""
    counted = next((day for day in reversed(days) if day.persons), None)
    return {} if counted is None else {"day": counted.day.isoformat(), "by_provider": dict(counted.persons)}


def _check(plot: Path | None, language: str) -> None:
    if plot is not None and (plot.suffix.lower() not in _PLOTS or language not in {"en", "sl"}):
        raise Stop(Code.USAGE, "--plot names an .svg or .png file, --language is en or sl")


def _names(given: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(name.strip() for text in given for name in text.split(",")))
    if strange := [name for name in names if name not in BY]:
        raise Stop(Code.USAGE, f"statistics are not kept by {', '.join(strange)}", f"known: {', '.join(BY)}")
    return names


def _tell(
    days: Sequence[ClosedDay], names: Sequence[str], rows: Sequence[dict[str, Any]], persons: dict[str, Any]
) -> None:
    if not days:
        say("no day is closed yet: each one is, three days after its end, while `preklic worker upkeep` runs")
        return
    measures = [name for name in MEASURES if any(name in row for row in rows)]
    filled = [dict.fromkeys(measures, 0) | row for row in rows]
    title = f"Statistics of {days[0].day} to {days[-1].day}"
    show(filled, (*names, *measures), title=title, as_json=False)
    if persons:
        people = [{"provider": name, "people": count} for name, count in persons["by_provider"].items()]
        show(people, ("provider", "people"), title=f"People by provider, counted for {persons['day']}", as_json=False)
    say(f"[dim]{NOTE}[/]")


def _draw(rows: Sequence[dict[str, Any]], names: Sequence[str], file: Path, language: str) -> None:
    try:
        from preklic_workers import plots  # noqa: PLC0415 - the plotting library is an extra of this one option
    except ModuleNotFoundError as error:
        raise Stop(Code.USAGE, f"--plot needs {error.name}", 'pip install "preklic[plots]"') from None
    try:
        plots.draw(rows, names, file, language)
    except OSError as error:
        raise Stop(Code.USAGE, f"cannot write {file} ({type(error).__name__})") from None
    say(f"wrote {file}", err=True)
