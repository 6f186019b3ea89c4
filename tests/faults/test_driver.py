"""The fault driver, short: some kills, some races and every kind of fault at random. `make faults` runs it in full."""

import json

import pytest

from faults.conftest import Running

SHORT = ("--seconds", "25", "--lease", "8", "--members", "1", "--kills", "14", "--every", "2", "--minimum", "12")
SHORT += ("--calm", "10", "--pairs", "600", "--rest", "90", "--replayed", "200")


@pytest.mark.timeout(420)
@pytest.mark.attack(37)
def test_a_short_run_under_fire_breaks_no_promise() -> None:
    run = Running("faults.driver", *SHORT)
    try:
        run.process.wait(timeout=400)
        said = run.log.read_text()
        assert run.process.returncode == 0, said[-6000:]
        report = json.loads(run.report.read_bytes())
    finally:
        run.close()
    assert report["wrong"] == []
    # It was no empty run, however busy the machine is.
    assert sum(report["kills"].values()) >= 3
    assert sum(report["faults"].values()) >= 5
    assert report["pairs_sent"] + report["pairs_refused"] >= 20
    assert report["states"]["sent"] >= 100
