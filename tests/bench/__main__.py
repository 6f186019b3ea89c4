"""`python -m bench [--quick] [GROUP...]`: exit 0 when all ran, 1 when something did not."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench import report
from bench.contest import Pace
from bench.costs import costs
from bench.ground import PEERS, ROOT, DoesNotRun, Ground, peer, running_ground
from bench.machine import describe
from bench.rows import GROUPS, LIMITS, ONCE, ROWS, Factory

PACES = {"full": Pace(5, 3), "quick": Pace(0.7, 1, warm=0.3, long=10_000), "smoke": Pace(0.3, 1, jobs=30, long=30)}


def run_group(
    ground: Ground, name: str, contenders: Mapping[str, Factory], pace: Pace, *, peers: bool
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """All contenders in turn, as often as `pace` says: their samples, and what did not run."""
    samples: dict[str, list[dict[str, Any]]] = {}
    faults: list[str] = []
    for _ in range(1 if name in ONCE else pace.turns):
        for contender, make in contenders.items():
            if contender.startswith("preklic") or peers:
                began = time.monotonic()
                try:
                    sample = make(ground).turn(ground, pace)
                except DoesNotRun as fault:
                    faults.append(f"{name}: {contender}: {fault}")
                    continue
                samples.setdefault(contender, []).append(asdict(sample))
                took = time.monotonic() - began
                print(f"  {name}: {contender:24} {sample.rate:10,.0f}/s  {took:5.1f} s", file=sys.stderr, flush=True)
    return samples, faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of: {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--quick", dest="pace", action="store_const", const="quick", default="full")
    parser.add_argument("--smoke", dest="pace", action="store_const", const="smoke", help="a few jobs each")
    parser.add_argument(
        "--turns", type=at_least_one, help="of each contender, one after the other (default: 3, quick: 1)"
    )
    parser.add_argument("--json", type=Path, help="write everything there")
    parser.add_argument(
        "--chart", type=Path, help="draw the bars of the README there (SVG); needs --json and the peers"
    )
    parser.add_argument("--markdown", type=Path, help="write the table there, as the README shows it")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="preklic-bench-") as folder:
        for result in measured(Path(folder), options.groups or list(GROUPS), options.pace, options.turns):
            # After each group, so that a run which is stopped leaves what it has.
            result["seconds"] = round(time.monotonic() - began, 1)
            if options.json:
                options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.pace == "smoke":
        print("it runs; so few jobs say nothing about speed")
    else:
        print(report.heading(result["machine"]))
        print("\n".join(report.lines(ROWS, LIMITS, result["groups"])))
    if options.markdown:
        options.markdown.write_text("\n".join(report.markdown(ROWS, LIMITS, result["groups"])) + "\n")
    if options.chart and options.json and PEERS.exists():
        draw(options.json, options.chart)
    for fault in result["faults"]:
        print(f"DOES NOT RUN  {fault}", file=sys.stderr)
    return 1 if result["faults"] else 0


def draw(told: Path, target: Path) -> None:
    """The picture of the README, from what was written to `told`."""
    subprocess.run([*peer("chart"), told, target], check=True, env={"PYTHONPATH": str(ROOT / "tests")})


def at_least_one(text: str) -> int:
    """A number of the command line."""
    if (count := int(text)) < 1:
        raise ValueError(text)
    return count


def measured(folder: Path, groups: list[str], pace: str, turns: int | None = None) -> Iterator[dict[str, Any]]:
    """Run group by group on a fresh ground below `folder`; all that is known after each."""
    peers = PEERS.exists()
    if not peers:
        print("peers are not installed (.venv-bench): only ours is measured", file=sys.stderr)
    found: dict[str, Any] = {}
    faults: list[str] = []
    each = replace(PACES[pace], turns=turns or PACES[pace].turns)
    # In a hurry only those that a floor is about.
    asked = {(row.group, name) for row in ROWS if row.floor is not None for name in (row.ours, row.theirs)}
    asked |= {(limit.group, limit.ours) for limit in LIMITS}
    with running_ground(folder) as ground:
        machine = describe(ground)
        for name in groups:
            contenders = {who: make for who, make in GROUPS[name].items() if pace == "full" or (name, who) in asked}
            found[name], failed = run_group(ground, name, contenders, each, peers=peers)
            faults += failed
            told = {"version": 2, "pace": pace, "machine": machine, "rows": judged(found), "groups": found}
            yield told | {"faults": faults, "costs": costs(found, machine)}


def judged(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Each row whose group has run, with its ratio and verdict."""
    ratios = [(row, report.of(row, found)) for row in ROWS if row.group in found]
    return [
        {
            **asdict(row),
            "ratio": ratio and asdict(ratio),
            "by_cpu": report.by_cpu(row, found),
            "verdict": report.verdict(row, ratio),
        }
        for row, ratio in ratios
    ]


if __name__ == "__main__":
    sys.exit(main())
