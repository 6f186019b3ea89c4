import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.ids import new_id
from preklic_shared.jobs import TrackJob
from preklic_workers.verdicts import BURST_LINKS, BURST_MILLIS, bursts, judge

MAIL = new_id()
NOW = int(time.time() * 1000)


def seen(event="clicked", agent="browser", link=0, after=0, message=MAIL):
    return TrackJob(
        id=new_id(),
        producer="gateway",
        at=NOW + after,
        expires=NOW + 10**6,
        event=event,
        message=message,
        person="0" * 32,
        link=link,
        agent=agent,
    )


@pytest.mark.parametrize(
    ("event", "agent", "verdict"),
    [
        ("opened", "browser", "human"),
        ("opened", "proxy", "prefetch"),
        ("opened", "scanner", "scanner"),
        ("opened", "empty", "unknown"),
        ("clicked", "browser", "human"),
        ("clicked", "proxy", "scanner"),
        ("clicked", "scanner", "scanner"),
        ("clicked", "other", "unknown"),
        ("delivered", "browser", "unknown"),
        ("complained", "other", "human"),
    ],
)
def test_the_table(event, agent, verdict):
    assert judge(seen(event, agent)) == verdict


@given(
    st.sampled_from(["opened", "clicked", "delivered", "deferred", "bounced", "complained"]),
    st.sampled_from(["browser", "proxy", "scanner", "empty", "other"]),
)
def test_the_table_answers_everything(event, agent):
    assert judge(seen(event, agent)) in {"human", "prefetch", "scanner", "unknown"}


def test_many_links_of_one_mail_at_once_are_a_scanner_s():
    followed = [seen(link=number, after=number * 100) for number in range(BURST_LINKS)]
    later = seen(link=1, after=60_000)
    assert bursts([*followed, later]) == {job.id for job in followed}
    assert judge(followed[0], burst=True) == "scanner"


def test_what_a_person_does_is_no_burst():
    double = [seen(link=1, after=number * 200) for number in range(6)]
    slow = [seen(link=number, after=number * BURST_MILLIS) for number in range(6)]
    others = [seen(link=number, message=new_id()) for number in range(6)]
    opened = [seen("opened", link=None) for _ in range(6)]
    assert bursts(double + others + opened) == frozenset()
    assert bursts(slow) == frozenset()
