"""The driver, for a short time and with short leases. `make faults` runs it in full."""

import json

import pytest

from faults.conftest import Running
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit


@pytest.mark.timeout(600)
@pytest.mark.attack(15)
@pytest.mark.attack(17)
@pytest.mark.attack(20)
def test_the_promises_hold_under_fire(rabbit: Rabbit, mongo: Mongo, fire: Running) -> None:
    fire.process.wait(timeout=570)
    told = fire.log.read_text()[-6000:]
    assert fire.process.returncode == 0, told
    report = json.loads(fire.report.read_bytes())
    assert report["wrong"] == []
    # Of 36 kills at 18 points; a slow machine reaches fewer passages.
    assert sum(report["kills"].values()) + report["lonely"] >= 18, told
    assert len(report["kills"]) >= 9, told
    assert report["states"].get("in_doubt", 0) - report["unanswered"] <= report["open_at_faults"]
    met = report["pairs_sent"] + report["pairs_refused"]
    assert met > 0, told
    assert min(report["pairs_sent"], report["pairs_refused"]) >= met / 10, told
