"""The campaign run, small: 2,000 people, the fan-out killed twice. `python -m faults.campaign_run` runs it in full."""

import json

import pytest

from faults.conftest import Running


@pytest.mark.timeout(240)
@pytest.mark.attack(11)
def test_a_fan_out_that_is_killed_reaches_everybody_and_nobody_twice() -> None:
    run = Running("faults.campaign_run", "--people", "2000", "--kills", "2", "--drain")
    try:
        run.process.wait(timeout=200)
        assert run.process.returncode == 0, run.log.read_text()[-3000:]
        report = json.loads(run.report.read_bytes())
    finally:
        run.close()
    assert (report["wrong"], report["different"], len(report["killed_at"])) == ([], 2000, 2)
    assert report["jobs"] >= 2000
