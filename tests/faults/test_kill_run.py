"""The kill run, small: three kills in the middle of 1,500 sends. `make faults` runs it in full."""

from pathlib import Path

import pytest

from faults.kill_run import Plan, run, say
from preklic_stack.children import Children
from preklic_stack.mailsink import start_sink
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit
from preklic_stack.system import System


# The lease of 60 s must run out for what the killed workers had claimed.
@pytest.mark.timeout(480)
@pytest.mark.attack(17)
def test_a_killed_worker_loses_nothing_and_repeats_nothing(
    processes: Children, rabbit: Rabbit, vhost: str, mongo: Mongo, mongo_database: str, tmp_path: Path
) -> None:
    plan = Plan(sends=1_500, kills=3, persons=300)
    sink = start_sink(processes, tmp_path / "sink", "--keep", "0")
    system = System(
        tmp_path / "system", processes, rabbit, mongo, sink, vhost, mongo_database, connections=plan.connections
    )
    report = run(system, plan, say)
    for line in report.lines():
        say(line)
    assert report.wrong == []
    assert len(set(report.published)) == plan.sends
    assert len(report.open_at_kills) == plan.kills
    assert min(report.open_at_kills) >= plan.minimum
    assert report.states["in_doubt"] <= sum(report.open_at_kills)
    assert report.states["sent"] >= plan.sends - sum(report.open_at_kills)
