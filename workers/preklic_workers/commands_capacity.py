"""`preklic capacity`: what a load needs, from measured costs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show, show_json
from preklic_workers import capacity as need
from preklic_workers.capacity import Ceiling, Costs, Load, Part, Unusable, Wait

ends_with(Unusable, Code.USAGE, "make bench writes bench.json; without --costs the figures of this version count")
_MANY: Final = 99.5


def capacity(
    *,
    mails: Annotated[float, typer.Option(min=0, max=need.MOST, help="Mails a second.")],
    opens: Annotated[float, typer.Option(min=0, max=need.MOST, help="Opens a second.")] = 0.0,
    clicks: Annotated[float, typer.Option(min=0, max=need.MOST, help="Clicks a second.")] = 0.0,
    cores: Annotated[int, typer.Option(min=1, max=1024, help="Cores of each server (MongoDB, RabbitMQ).")] = 8,
    peak: Annotated[float, typer.Option(min=1, max=1000, help="So many times as much...")] = 3.0,
    peak_seconds: Annotated[int, typer.Option(min=1, max=3600, help="...for so long: what the queues do then.")] = 60,
    costs: Annotated[Path | None, typer.Option(help="A bench.json of your own machine.")] = None,
    as_json: Json = False,
) -> None:
    """How many processes and cores so many mails and opens a second need, what is full first, and what a peak does.

    It computes; nothing is started and no service is asked. Example: `preklic capacity --mails 10000 --opens 5000`
    """
    load = Load(mails, opens, clicks)
    if not load.mails and not load.events:
        raise Stop(Code.USAGE, "nothing arrives, so nothing is needed", "preklic capacity --mails 1000 --opens 500")
    measured = _costs(costs)
    needed, limits = need.parts(load, measured), need.ceilings(load, measured, cores)
    surge = need.peak(load, measured, peak, peak_seconds)
    if as_json:
        show_json(_plain(load, measured, needed, limits, surge))
    else:
        _tell(load, measured, cores, f"{peak:g} times that for {peak_seconds} s", needed, limits, surge)


def _costs(file: Path | None) -> Costs:
    try:
        return need.read_costs(file)
    except OSError as error:
        raise Stop(Code.USAGE, f"{file}: {error.strerror}") from None


def _plain(load: Load, costs: Costs, parts: list[Part], ceilings: list[Ceiling], peak: list[Wait]) -> dict[str, object]:
    return {
        "load": asdict(load),
        "measured": costs.machine,
        "parts": [asdict(part) for part in parts],
        "ceilings": [asdict(ceiling) for ceiling in ceilings],
        "peak": [asdict(wait) for wait in peak],
    }


def _tell(
    load: Load, costs: Costs, cores: int, surge: str, parts: list[Part], ceilings: list[Ceiling], peak: list[Wait]
) -> None:
    rows = [
        {
            "program": part.name,
            "jobs a second": f"{part.work:,.0f}",
            "cores busy": f"{part.cores:.2f}",
            "processes": part.processes if part.processes is not None else "one server",
        }
        for part in parts
        if part.work
    ]
    title = f"{load.mails:,.0f} mails, {load.events:,.0f} opens and clicks a second; cores planned to {need.BUSY:.0%}"
    show(rows, ("program", "jobs a second", "cores busy", "processes"), title=title, as_json=False)
    limits = [
        {"what": one.name, "full at": _times(one.times, load), "then": one.advice if n == 0 or one.times < 1 else ""}
        for n, one in enumerate(ceilings)
    ]
    show(limits, ("what", "full at", "then"), title=f"Full first, with {cores} cores for each server", as_json=False)
    for wait in peak:
        say(f"{surge}: {wait.queue} waits {wait.longest:.0f} s at most, and is empty again after {wait.over:.0f} s")
    say(f"Measured on: {costs.machine}. Relays are not ours to count: ask yours how many mails a second it takes.")


def _times(times: float, load: Load) -> str:
    shown = f"{times:.0f}" if times > _MANY else f"{times:.2g}"
    rates = f"{times * load.mails:,.0f} mails/s" if load.mails else f"{times * load.events:,.0f} events/s"
    return f"{shown} times this load ({rates})" + (": too much for one" if times < 1 else "")
