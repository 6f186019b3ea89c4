"""The harness must find planted bugs: each is put into a scratch copy, and the run there must name what falls.

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
SMALL = ("faults.kill_run", "--sends", "1500", "--kills", "3", "--persons", "300", "--rest", "240")
# Leases of 8 s, one mongod: what takes half an hour in full is over in a minute or two.
SHORT = ("faults.driver", "--seed", "7", "--seconds", "50", "--lease", "8", "--members", "1", "--rest", "40")
SHORT += ("--races", "0", "--replayed", "0", "--minimum", "10", "--kills", "0", "--pairs", "0", "--every", "2")


@dataclass(frozen=True)
class Plant:
    """A bug: in each of these files the first text becomes the second. `invariant` begins the lines that it causes in
    the run, a module and its options.
    """

    name: str
    edits: tuple[tuple[str, str, str], ...]
    invariant: str
    run: tuple[str, ...] = SMALL


NO_REAPER = (
    "workers/preklic_workers/upkeep.py",
    'due = [doc for doc in overdue if doc["_id"] in open_ones]',
    "due = overdue[:0]",
)
PLANTS = (
    Plant(
        "nobody minds an open hand-over: not the reaper, not the claim, not the gate",
        (
            NO_REAPER,
            (
                "workers/preklic_workers/store/person_docs.py",
                '        "open.message": {"$nin": [opening.message for opening in openings]},\n',
                "",
            ),
            (
                "workers/preklic_workers/send.py",
                "if handed_before else attempt",
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
                "if state in CERTAIN and epoch and subject is not None:",
                "if state in CERTAIN and epoch < 0 and subject is not None:",
            ),
            ("workers/preklic_workers/upkeep.py", "for message in left:", "for message in list(left)[:0]:"),
        ),
        "I9",
    ),
    Plant(
        "owner check: a delivery is settled on a channel that did not bring it",
        (("workers/preklic_workers/intake.py", "return brought_by is current", "return current is not None"),),
        "I1",
        # Few sessions: most of what a worker holds is claimed and waits for one, so that no body says more of it.
        (*SHORT, "--load", "2", "--connections", "4", "--only", "drop_then_kill"),
    ),
    Plant(
        "durable retry: acked before a tier has confirmed it",
        (
            (
                "workers/preklic_workers/engine.py",
                "        if publication is not None and not await settle.publish_held(",
                (
                    "        if publication is not None:\n            self._ack(work, outcome)\n"
                    "        if publication is not None and not await settle.publish_held("
                ),
            ),
            (
                "workers/preklic_workers/engine.py",
                "            return\n        self._ack(work, outcome)\n\n    def _ack",
                (
                    "            return\n        if publication is None:\n"
                    "            self._ack(work, outcome)\n\n    def _ack"
                ),
            ),
        ),
        "I1",
        (*SHORT, "--only", "hold_then_kill"),
    ),
    Plant(
        "gate as a write: the permission is only read, before MAIL",
        (
            (
                "workers/preklic_workers/store/person_docs.py",
                "        **permitted(purpose, confirming=confirming),\n",
                "",
            ),
        ),
        "I4",
        (*SHORT, "--pairs", "500", "--only", "relay"),
    ),
    Plant(
        "epoch check: nobody looks whose the message is after the gate",
        (
            (
                "workers/preklic_workers/store/gate.py",
                "if epochs.get(handover.message) != handover.epoch:",
                "if handover.epoch < 0:",
            ),
        ),
        "I2",
        (*SHORT, "--load", "2", "--only", "freeze", "--points", "claimed", "rcpt_ok"),
    ),
    Plant(
        "drain: applied without waiting for what is under way",
        (
            (
                "workers/preklic_workers/revoke.py",
                (
                    "        if not left.open or time.monotonic() >= deadline:\n"
                    "            return sorted({*left.open, *left.stale})"
                ),
                "        if left is not None or time.monotonic() >= deadline:\n            return []",
            ),
        ),
        "I4",
        (*SHORT, "--pairs", "500", "--only", "stall", "--points", "gate_committed"),
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
    """Whether the run on the planted copy ends with 1 and names the invariant."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(bug, folder)
        path = os.pathsep.join(str(folder / room) for room in ROOMS)
        done = subprocess.run(
            [sys.executable, "-m", *bug.run],
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
    """1 when a planted bug stayed unseen. Words on the command line choose those plants whose names begin with one."""
    chosen = [bug for bug in PLANTS if bug.name.startswith(tuple(sys.argv[1:] or [""]))]
    unseen = [bug.name for bug in chosen if not found(bug)]
    say(f"{len(chosen) - len(unseen)} of {len(chosen)} planted bugs found")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
