"""The game days, small. `make faults-gameday` plays them in full."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from faults import game_relay, game_stop, game_template
from faults.field import Field
from faults.gameday import apart
from faults.launching import Forks
from faults.zygote import Zygote
from preklic_shared.ids import new_id
from preklic_stack.children import Children
from preklic_stack.mailsink import start_sink
from preklic_stack.mongo import Mongo
from preklic_stack.places import quick_folder
from preklic_stack.rabbit import Rabbit
from preklic_stack.stack import Stack

pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def field(rabbit: Rabbit, mongo: Mongo) -> Iterator[Field]:
    """A field that the games share: each looks at its own mails."""
    with TemporaryDirectory(dir=quick_folder()) as folder, Children() as children:
        sink = start_sink(children, Path(folder) / "sink")
        zygote = Zygote(children, Path(folder) / "forked")
        with apart(Stack(Path(folder), children, rabbit, mongo, sink), 2, Forks(zygote), hasty=True) as opened:
            yield opened
        zygote.close()


@pytest.mark.attack(18, guard="preklic_workers.permission:may")
@pytest.mark.attack(18, guard="preklic_workers.store.person_docs:permitted")
def test_after_a_bad_template_the_runbook_sends_what_may_be_sent_once_and_nothing_else(field: Field) -> None:
    report = game_template.play(field, game_template.Size(dead=30, withdraw=6, waiting=5, bills=3, seconds=120))
    assert report.wrong == []
    assert report.figures["people who withdrew meanwhile"] == 6
    assert report.figures["mails in the end discarded"] == 2


def test_what_a_dead_relay_had_is_resolved_from_its_log_and_the_other_one_carries_on(field: Field) -> None:
    report = game_relay.play(field, game_relay.Size(mails=60, minimum=5, after=0, slow=1.5, seconds=120))
    assert report.wrong == []
    assert report.figures["resolved from its log"] >= 5


def test_everything_stops_within_a_second_and_nothing_is_lost(field: Field) -> None:
    # The full game says 1 s; here the machine is shared with other tests.
    report = game_stop.play(field, game_stop.Size(mails=300, held=1.5, pace=0.1, soon=3, seconds=120))
    assert report.wrong == []
    assert report.figures["refused: withdrawn while all was stopped"] == 3


def test_the_audit_of_a_game_sees_what_is_wrong(field: Field) -> None:
    people = field.people.make(2)
    if not field.senders:
        field.deploy()
    jobs = dict(zip((one.address for one in people), field.publish(people, "payment"), strict=True))
    of = {job: {"sent"} for job in jobs.values()}
    assert list(field.ends(of, 30)) == []
    assert len(list(field.ends({job: {"refused"} for job in jobs.values()}, 0))) == 2
    assert "recorded nowhere" in next(field.ends({new_id(): {"sent"}}, 0))
    assert len(list(field.after_a_no(jobs, {people[0].address: 1}))) == 1
    assert list(field.after_a_no(jobs, {people[0].address: time.time_ns()})) == []
    assert list(field.recorded("control", switch="purpose:nothing"))
