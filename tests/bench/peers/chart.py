"""The run as a picture: `python -m bench.peers.chart BENCH_JSON SVG`. Runs beside the peers, where matplotlib is."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "preklic"  # the same figures make the same file

# Group -> what its bars count.
PANELS = {
    "send": "mails a second",
    "track": "opens and clicks recorded a second",
    "noop": "jobs that do nothing, a second, one process",
}
OURS, THEIRS, WITHOUT = "#0b6e4f", "#9aa5ad", "#8fc1ae"
_INCHES = (8.0, 0.42)  # a panel's width, and the height of one bar


def draw(told: dict[str, Any], target: Path) -> None:
    """Bars of the medians, with lines from the least to the most of a turn."""
    panels = {name: told["groups"][name] for name in PANELS if told["groups"].get(name)}
    rows = [len(contenders) for contenders in panels.values()]
    height = sum(rows) * _INCHES[1] + len(rows) * 0.9
    figure = Figure(figsize=(_INCHES[0], height))
    axes = figure.subplots(len(rows), 1, squeeze=False, gridspec_kw={"height_ratios": rows})
    for (name, contenders), axis in zip(panels.items(), axes[:, 0], strict=True):
        _panel(axis, PANELS[name], contenders)
    machine = told["machine"]
    figure.text(
        0.99,
        0.005,
        f"{machine['cores']} cores, RabbitMQ {machine['rabbitmq']}, MongoDB {machine['mongodb']}, "
        f"all on one machine; only the dark bars ask for permission; lines: least to most of the turns",
        ha="right",
        fontsize=7,
        color="#555555",
    )
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})


def _panel(axis: Any, title: str, contenders: dict[str, list[dict[str, Any]]]) -> None:
    rates = {name: [sample["rate"] for sample in samples] for name, samples in contenders.items()}
    medians = [statistics.median(each) for each in rates.values()]
    most = max(max(each) for each in rates.values())
    axis.barh(list(rates), medians, color=[_colour(name) for name in rates], height=0.66)
    for place, (median, each) in enumerate(zip(medians, rates.values(), strict=True)):
        axis.plot([min(each), max(each)], [place, place], color="#333333", linewidth=1)
        axis.text(max(each) + most * 0.012, place, f"{median:,.0f}", va="center", fontsize=9)
    axis.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axis.set_xlim(0, most * 1.12)
    axis.invert_yaxis()
    axis.tick_params(axis="y", length=0, labelsize=9)
    axis.xaxis.set_visible(False)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)


def _colour(name: str) -> str:
    if "ungated" in name:
        return WITHOUT
    return OURS if name.startswith("preklic") else THEIRS


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
