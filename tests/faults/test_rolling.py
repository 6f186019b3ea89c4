"""The rolling restart, small: two send workers once each. `make faults-rolling` runs it in full."""

from pathlib import Path

import pytest

from faults.rolling import Plan, run
from preklic_stack.children import Children
from preklic_stack.mailsink import MailSink
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit
from preklic_stack.system import System


@pytest.fixture
def system(
    processes: Children, rabbit: Rabbit, mongo: Mongo, sink: MailSink, vhost: str, mongo_database: str, tmp_path: Path
) -> System:
    return System(tmp_path / "preklic", processes, rabbit, mongo, sink, vhost, mongo_database)


def test_workers_that_are_restarted_under_load_lose_nothing_and_repeat_nothing(system: System) -> None:
    report = run(system, Plan(rounds=1, fleet=("send", "send"), waiting=50, chunk=25, pause=0.3), lambda _: None)
    assert report.wrong == []
    assert (report.restarts, report.states["sent"]) == (2, len(set(report.published)))
    assert report.bodies == len(report.published) >= 50
    # The full run says under 5 s; here the machine is shared with other tests.
    assert report.delays["p99"] < 30
