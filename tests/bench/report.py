"""From samples to medians, ratios and a table. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["times", "share", "cost"]
# group -> contender -> its samples, as JSON values
Groups = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True)
class Row:
    """One comparison within a group, with the floor and the goal of the targets.

    `times`: ours is so many times as fast. `share`: so large a part of a ceiling. `cost`: how many times slower ours
    is than the same without something; here less is better.
    """

    title: str
    group: str
    ours: str
    theirs: str
    kind: Kind
    floor: float | None
    goal: float | None


@dataclass(frozen=True)
class Limit:
    """A figure of ours alone that must stay low: `key` of the samples' `more`, with the floor and the goal."""

    title: str
    group: str
    ours: str
    key: str
    floor: float
    goal: float


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest."""

    median: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}} - {self.high:{spec}})"


def spread(values: Iterable[float]) -> Spread | None:
    """None of nothing."""
    found = sorted(values)
    return Spread(statistics.median(found), found[0], found[-1]) if found else None


def ratio(row: Row, ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Ratio of the medians; smallest and largest of the turns, which ran side by side."""
    if not ours or not theirs:
        return None
    over, under = (theirs, ours) if row.kind == "cost" else (ours, theirs)
    turns = [a / b for a, b in zip(over, under, strict=False)]
    return Spread(statistics.median(over) / statistics.median(under), min(turns), max(turns))


def by_cpu(row: Row, groups: Groups) -> float | None:
    """The same ratio in CPU seconds of all processes together: what a machine that others use as well still shows."""
    spent = []
    for name in (row.ours, row.theirs):
        totals = [sum(sample["cpu"].values()) for sample in groups.get(row.group, {}).get(name, ())]
        if not totals or not min(totals):
            return None
        spent.append(statistics.median(totals))
    ours, theirs = spent
    return ours / theirs if row.kind == "cost" else theirs / ours


def verdict(row: Row, found: Spread | None) -> str:
    """What the ratio means beside floor and goal."""
    if found is None:
        return "not measured"
    if row.goal is not None and _reaches(row, found.median, row.goal):
        return "goal"
    if row.floor is None or _reaches(row, found.median, row.floor):
        return "floor" if row.floor is not None else "-"
    return "below the floor"


def _reaches(row: Row, value: float, mark: float) -> bool:
    return value <= mark if row.kind == "cost" else value >= mark


def show(row: Row, value: float | None) -> str:
    """A ratio as the targets write it."""
    if value is None:
        return "-"
    return f"{value:.0%}" if row.kind == "share" else f"{value:.2g}x" if value < 10 else f"{value:.0f}x"


def heading(machine: Mapping[str, Any]) -> str:
    """Machine and versions, above the table."""
    first = (
        "{cores} cores, {processor}, {memory_gb} GB, {system}; Python {python}, RabbitMQ {rabbitmq}, MongoDB {mongodb}"
    )
    sides = (" ".join(f"{name} {number}" for name, number in machine[side].items()) for side in ("ours", "peers"))
    return "\n".join([first.format(**machine), *map("{}: {}".format, ("ours", "peers"), sides), ""])


def kept(limit: Limit, groups: Groups) -> tuple[float, str] | None:
    """The median of what was measured, and what it means beside floor and goal; None when it was not."""
    found = spread(sample["more"][limit.key] for sample in groups.get(limit.group, {}).get(limit.ours, ()))
    if found is None:
        return None
    word = "goal" if found.median <= limit.goal else "floor" if found.median <= limit.floor else "above the floor"
    return found.median, word


def lines(rows: Sequence[Row], limits: Sequence[Limit], groups: Groups) -> list[str]:
    """The closing table, and under it each contender's figures."""
    out = [f"{'':54} {'ratio':>8} {'(min - max)':>16} {'by CPU':>8} {'floor':>7} {'goal':>7}"]
    for row in rows:
        if row.group in groups:
            found = of(row, groups)
            low, high = (show(row, found.low), show(row, found.high)) if found else ("", "")
            cpu = show(row, by_cpu(row, groups))
            between = f"({low} - {high})" if found else ""
            marks = f"{show(row, row.floor):>7} {show(row, row.goal):>7}"
            figure = show(row, found and found.median)
            out.append(f"{row.title:54} {figure:>8} {between:>16} {cpu:>8} {marks}  {verdict(row, found)}")
    for limit in limits:
        if (measured := kept(limit, groups)) is not None:
            figure, word = measured
            out.append(f"{limit.title:54} {figure:>8.3g} {'':26} {limit.floor:>7g} {limit.goal:>7g}  {word}")
    for name, contenders in groups.items():
        out += ["", f"{name:24} {'jobs/s, median (min - max)':>32}   CPU s per 10,000 jobs; memory MB"]
        out += [f"  {contender:22} {_figures(samples)}" for contender, samples in contenders.items()]
    return out


def markdown(rows: Sequence[Row], limits: Sequence[Limit], groups: Groups) -> list[str]:
    """The closing table as it stands in the README."""
    out = ["| what | seen | least and most of a turn | floor | goal |", "|---|---|---|---|---|"]
    for row in rows:
        if (found := of(row, groups)) is not None:
            marks = f"{show(row, row.floor)} | {show(row, row.goal)}"
            between = f"{show(row, found.low)} - {show(row, found.high)}"
            out.append(f"| {row.title} | **{show(row, found.median)}** | {between} | {marks} |")
    measured = [(limit, kept(limit, groups)) for limit in limits]
    return out + [
        f"| {limit.title} | **{figure[0]:.3g}** | | {limit.floor:g} | {limit.goal:g} |"
        for limit, figure in measured
        if figure is not None
    ]


def of(row: Row, groups: Groups) -> Spread | None:
    """The row's ratio from the samples (`rate` in each)."""
    contenders = groups.get(row.group, {})
    ours, theirs = ([sample["rate"] for sample in contenders.get(name, ())] for name in (row.ours, row.theirs))
    return ratio(row, ours, theirs)


def _figures(samples: Sequence[Mapping[str, Any]]) -> str:
    rates = spread(sample["rate"] for sample in samples)
    if rates is None:
        return "does not run"
    parts = [f"{rates:>10,.0f}".rjust(32)]
    for key in ("cpu", "memory", "more"):
        names = sorted({name for sample in samples for name in sample[key]})
        found = {name: statistics.median(sample[key].get(name, 0.0) for sample in samples) for name in names}
        parts.append(" ".join(f"{name} {value:.3g}" for name, value in found.items() if value))
    return "  |  ".join(part for part in parts if part)
