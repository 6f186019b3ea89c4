"""The effect run, small: what is true must hold, the figures are `make effect`'s business."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SIZES = {"samples": 10, "senders": 100, "tracks": 40_000, "sends": 4_000, "down": 3, "closes-after": 6}
SMALL = [word for name, size in SIZES.items() for word in (f"--{name}", str(size))]


@pytest.mark.timeout(300)
@pytest.mark.attack(19)
def test_a_no_takes_effect_in_every_weather(tmp_path: Path) -> None:
    told = tmp_path / "report.json"
    argv = [sys.executable, "-m", "faults.effect", *SMALL, "--any-speed", "--json", str(told)]
    paths = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        argv, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    report = json.loads(told.read_bytes())
    assert report["wrong"] == []
    assert [len(figures["closed"]) for figures in report["figures"].values()] == [10, 10, 10]
    if "broker down: hand-overs opened meanwhile" in report["facts"]:
        assert report["facts"]["broker down: hand-overs opened meanwhile"] == 0
        assert report["facts"]["broker down: mails claimed when it went"] > 0
