"""The harness must find planted bugs: each is put into a scratch copy, and the kill run there must name what falls.

`make faults-selftest`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("shared", "producers", "workers", "deploy", "tests")
SMALL = ("--sends", "1500", "--kills", "3", "--persons", "300", "--rest", "240")


@dataclass(frozen=True)
class Plant:
    """A bug: in each of these files the first text becomes the second. `invariant` begins the lines that it causes."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    invariant: str


NO_REAPER = ("workers/preklic_workers/upkeep.py", 'if doc["_id"] in open_ones:', "if False:")
PLANTS = (
    Plant(
        "nobody minds an open hand-over: not the reaper, not the claim, not the gate",
        (
            NO_REAPER,
            (
                "workers/preklic_workers/store/person_docs.py",
                'closed = {"$in": [literal(message), "$open.message"]}',
                "closed: Doc = literal(False)  # noqa: FBT003",
            ),
            (
                "workers/preklic_workers/send.py",
                "if await deps.store.handed(claim.id, answer.epoch) else attempt",
                "if False else attempt",
            ),
        ),
        "I2",
    ),
    Plant(
        "an ack before the work is done",
        (
            (
                "workers/preklic_workers/intake.py",
                "_outstanding[tag] = None",
                "_outstanding[tag] = None; self.ack(tag)",
            ),
            ("workers/preklic_workers/engine.py", "current.ack(work.tag)", "pass"),
        ),
        "I1",
    ),
    Plant(
        "nobody pulls the hand-over of a worker that died after its settle",
        (
            (
                "workers/preklic_workers/send.py",
                "if isinstance(answer, Ended) and answer.state in CERTAIN:",
                "if False:",
            ),
        ),
        "I9",
    ),
)


def plant(bug: Plant, folder: Path) -> None:
    """Copy the rooms to `folder` with the bug in them. Raises ValueError when the code it changes is not there."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, after in bug.edits:
        file = folder / name
        text = file.read_text(encoding="utf-8")
        if text.count(before) != 1:
            raise ValueError(f"{bug.name}: {name} does not hold {before!r} once; the plant must follow the code")
        file.write_text(text.replace(before, after), encoding="utf-8")


def found(bug: Plant) -> bool:
    """Whether the kill run on the planted copy ends with 1 and names the invariant."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(bug, folder)
        path = os.pathsep.join(str(folder / room) for room in ROOMS)
        done = subprocess.run(
            [sys.executable, "-m", "faults.kill_run", *SMALL],
            env=os.environ | {"PYTHONPATH": path},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    named = [line for line in done.stdout.splitlines() if line.startswith(bug.invariant)]
    say(f"{bug.name}: exit {done.returncode}, {len(named)} lines of {bug.invariant}")
    for line in named[:3] or done.stdout.splitlines()[-15:] + done.stderr.splitlines()[-5:]:
        say(f"    {line}")
    return done.returncode == 1 and bool(named)


def say(line: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """1 when a planted bug stayed unseen."""
    unseen = [bug.name for bug in PLANTS if not found(bug)]
    say(f"{len(PLANTS) - len(unseen)} of {len(PLANTS)} planted bugs found")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
