"""Charts of the statistics, for a page or a report. Imported by `preklic stats --plot` alone (extra `plots`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preklic_workers.packing import GROUP

SHOWN: Final = ("sent", "opened", "clicked", "bounced", "complained", "withdrawn", "refused")
TIMES: Final = ("day", "week", "month")
MOST_GROUPS: Final = 12  # bars that can still be told apart; the largest are drawn
# Okabe and Ito's colours, which people with colour blindness can tell apart, each with a line style of its own.
COLOURS: Final = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9", "#555555")
STYLES: Final = ("-", "--", "-.", ":", "-", "--", "-.")
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "title": "Mails by {by}", "all": "Mails", "count": "number (rounded to tens)", "none": "no group of ten people",
        "note": f"Groups of fewer than {GROUP} people are hidden.", "more": "The {n} largest groups are shown.",
        "sent": "sent", "opened": "opened", "clicked": "clicked", "bounced": "bounced", "complained": "complained",
        "withdrawn": "withdrawn", "refused": "refused", "provider": "provider", "purpose": "purpose",
        "campaign": "campaign", "reason": "reason", "day": "day", "week": "week", "month": "month",
    },
    "sl": {
        "title": "Sporočila: {by}", "all": "Sporočila", "count": "število (zaokroženo na desetice)",
        "none": "ni skupine desetih ljudi", "note": f"Skupine z manj kot {GROUP} ljudmi so skrite.",
        "more": "Prikazanih je {n} največjih skupin.", "sent": "poslano", "opened": "odprto", "clicked": "kliknjeno",
        "bounced": "zavrnjeno", "complained": "pritožba", "withdrawn": "preklicano", "refused": "nedovoljeno",
        "provider": "ponudnik", "purpose": "namen", "campaign": "kampanja", "reason": "razlog", "day": "dan",
        "week": "teden", "month": "mesec",
    },
}  # fmt: skip


def draw(rows: Sequence[Mapping[str, Any]], by: Sequence[str], file: Path, language: str) -> None:
    """Draw rows of `figures.table` into an .svg or .png file: lines over time, else bars. Raises OSError."""
    words = WORDS[language]
    with mpl.rc_context(
        {"svg.fonttype": "none", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        named = ", ".join(words[name] for name in by)
        axes.set_title(words["title"].format(by=named) if by else words["all"], loc="left", fontweight="bold")
        note = words["note"]
        if not rows:
            axes.text(0.5, 0.5, words["none"], ha="center", va="center", transform=axes.transAxes)
        elif over_time(by):
            _lines(axes, rows, by[0], words)
        else:
            note += _bars(axes, rows, by, words)
        if rows:
            figure.legend(loc="outside right upper", frameon=False)
        axes.set_axisbelow(True)
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#555555")
        figure.savefig(file, dpi=150)


def over_time(by: Sequence[str]) -> bool:
    """Whether the groups are moments, which a line connects."""
    return len(by) == 1 and by[0] in TIMES


def _lines(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, words: Mapping[str, str]) -> None:
    moments = [row[name] for row in rows]
    for place, measure in enumerate(SHOWN):
        counts = [row.get(measure, 0) for row in rows]
        if any(counts):
            axes.plot(moments, counts, STYLES[place], color=COLOURS[place], marker="o", markersize=3.5,
                      label=words[measure])  # fmt: skip
    axes.set(xlabel=words[name], ylabel=words["count"], ylim=(0, None))
    step = max(1, len(moments) // 8)
    axes.set_xticks(range(0, len(moments), step), moments[::step], rotation=30, ha="right")
    axes.grid(axis="y", alpha=0.3)


def _bars(axes: Axes, rows: Sequence[Mapping[str, Any]], by: Sequence[str], words: Mapping[str, str]) -> str:
    """Draw a group of bars for each row; what the note has to say of those that are left out."""
    most = sorted(rows, key=lambda row: -sum(row.get(measure, 0) for measure in SHOWN))[:MOST_GROUPS]
    shown = [measure for measure in SHOWN if any(row.get(measure) for row in most)]
    high = 0.8 / max(1, len(shown))
    for place, measure in enumerate(shown):
        heights = [at + (place - (len(shown) - 1) / 2) * high for at in range(len(most))]
        axes.barh(heights, [row.get(measure, 0) for row in most], high, color=COLOURS[SHOWN.index(measure)],
                  label=words[measure])  # fmt: skip
    axes.set_yticks(range(len(most)), [" · ".join(str(row[name]) for name in by) or words["all"] for row in most])
    axes.invert_yaxis()
    axes.set(xlabel=words["count"], ylabel=", ".join(words[name] for name in by))
    axes.grid(axis="x", alpha=0.3)
    return " " + words["more"].format(n=MOST_GROUPS) if len(rows) > MOST_GROUPS else ""
