"""The kill run, small: one kill in the middle of 500 sends. `make faults-kills` runs it in full."""

import json

import pytest

from faults.conftest import Running
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit


# The lease of 60 s and a tier of 2 minutes must run out for what the killed workers had claimed.
@pytest.mark.timeout(480)
@pytest.mark.attack(17)
def test_a_killed_worker_loses_nothing_and_repeats_nothing(rabbit: Rabbit, mongo: Mongo, kill_run: Running) -> None:
    kill_run.process.wait(timeout=450)
    assert kill_run.process.returncode == 0, kill_run.log.read_text()[-3000:]
    report = json.loads(kill_run.report.read_bytes())
    assert report["wrong"] == []
    assert len(set(report["published"])) == 500
    assert len(report["open_at_kills"]) == 1
    assert min(report["open_at_kills"]) >= 32
    assert report["states"]["in_doubt"] <= sum(report["open_at_kills"])
    assert report["states"]["sent"] >= 500 - sum(report["open_at_kills"])
