"""Fail points: how a fault is named, that each point's place is there, and what happens at a passage."""

import json
import subprocess
import sys

import pytest

from faults import failpoints
from faults.failpoints import Armed, Faults, NoSuchPoint, parse


def test_a_fault_names_point_action_and_passage() -> None:
    assert parse("gate_sent:kill:37") == ("gate_sent", Armed("kill", 37))


@pytest.mark.parametrize("text", ["", "gate_sent", "gate_sent:kill", "gate_sent:kill:0", "no:kill:1", "drain:sing:1"])
def test_what_names_no_fault_is_refused(text: str) -> None:
    with pytest.raises(NoSuchPoint):
        parse(text)


def test_the_store_is_away_only_where_it_is_asked() -> None:
    with pytest.raises(NoSuchPoint):
        parse("mid_body:away:1")


def test_a_fault_waits_for_its_passage_and_happens_once() -> None:
    faults = Faults(None)
    faults.arm("claimed:away:3")
    assert [faults.due("claimed") for _ in range(3)] == [False, False, True]
    with pytest.raises(failpoints.Unavailable):
        faults.act("claimed")
    faults.act("claimed")
    assert not faults.due("claimed")


# In a process of its own: the points stay on whatever they are put on.
PROGRAM = """
import sys
from faults import failpoints
from preklic_workers.intake import Intake
{before}
faults = failpoints.installed({{failpoints.TOLD: sys.argv[1], failpoints.FAULT: "ack_queued:{action}:2"}})
intake = Intake(None)
intake._flushing = True
for tag in (1, 2):
    intake.ack(tag)
print("alive")
"""


def run(action: str, told: str, before: str = "") -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(action=action, before=before)
    return subprocess.run([sys.executable, "-c", program, told], capture_output=True, text=True, check=False)


def test_a_kill_is_told_before_it_happens(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    told = tmp_path / "told"
    done = run("kill", str(told))
    assert (done.returncode, done.stdout) == (-9, ""), done.stderr
    line = json.loads(told.read_text())
    assert (line["what"], line["point"], line["action"]) == ("fired", "ack_queued", "kill")


def test_a_point_whose_place_is_gone_is_found_at_the_start(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    done = run("drop", str(tmp_path / "told"), "del Intake.ack")
    assert done.returncode == 1
    assert "AttributeError" in done.stderr
