"""Answers from packed cells: sums by what is asked for, and nothing that no cell holds. Pure."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from preklic_workers.packing import Key

MEASURES: Final = (
    "sent", "opened", "clicked", "complained", "bounced", "withdrawn", "refused", "failed", "expired", "waiting",
    "in_doubt", "dead", "cancelled",
)  # fmt: skip
_READS: Final = frozenset({"opened", "clicked", "complained"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One packed cell of one closed day."""

    day: dt.date
    key: Key
    count: int


# What one can ask by. A campaign is known by its template.
BY: Final[Mapping[str, Callable[[Cell], str]]] = {
    "provider": lambda cell: cell.key.provider,
    "purpose": lambda cell: cell.key.purpose,
    "campaign": lambda cell: cell.key.template,
    "reason": lambda cell: f"{cell.key.state}: {cell.key.reason}" if cell.key.reason else cell.key.state,
    "day": lambda cell: cell.day.isoformat(),
    "week": lambda cell: f"{cell.day:%G-W%V}",
    "month": lambda cell: f"{cell.day:%Y-%m}",
}


def table(cells: Iterable[Cell], by: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each group, with the measures that are not 0. `by`: names of `BY`; without any, one row of all."""
    rows: dict[tuple[str, ...], dict[str, int]] = {}
    for cell in cells:
        row = rows.setdefault(tuple(BY[name](cell) for name in by), {})
        for measure in measures(cell.key):
            row[measure] = row.get(measure, 0) + cell.count
    return [dict(zip(by, group, strict=True)) | rows[group] for group in sorted(rows)]


def measures(key: Key) -> list[str]:
    """The measures that a cell counts towards: its state, and what people did with the mail."""
    return [key.state, *(word for word in key.reads.split() if word in _READS)]


def of_campaign(cells: Iterable[Cell], purposes: Iterable[str], template: str) -> list[Cell]:
    """The cells of one campaign's mails, and of nothing that was packed with others'."""
    known = frozenset(purposes)
    return [cell for cell in cells if cell.key.purpose in known and cell.key.template == template]
