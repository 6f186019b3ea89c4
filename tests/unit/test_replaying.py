import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.ids import new_id
from preklic_shared.jobs import RevokeJob, SendJob
from preklic_shared.registry import load_registry
from preklic_shared.wire import encode
from preklic_workers import joblog, replay_plan, replaying
from preklic_workers.pacing import Bucket
from preklic_workers.permission import Permission, Person
from preklic_workers.replay_run import refusal
from preklic_workers.replaying import Facts, Found, Item, Wanted

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
MILLIS = int(NOW.timestamp() * 1000)
LUCRUM = load_registry()
NOTHING = Facts({}, {})


def mail(purpose="newsletter", template="newsletter", expires=MILLIS + 1000):
    fields = {"purpose": purpose, "template": template, "key": "k", "sealed": "AAAA"}
    return SendJob(id=new_id(), producer="website", at=MILLIS, expires=expires, **fields)


def preview(job, facts=NOTHING, actor="send_bulk", queue="send.bulk"):
    return replaying.preview(encode(job, actor), queue, facts, LUCRUM, NOW)


def test_a_job_that_nobody_took_would_run():
    assert preview(mail()) == "would run"


def test_what_is_no_job_dies_again():
    assert replaying.preview(b"[", "send.bulk", NOTHING, LUCRUM, NOW) == "dead again: bad_envelope"
    assert preview(mail(), queue="send.now") == "dead again: wrong_queue"


@pytest.mark.parametrize("state", ["sent", "bounced", "in_doubt", "refused", "discarded"])
def test_what_has_ended_is_not_done_again(state):
    job = mail()
    assert preview(job, Facts({job.id: state}, {})) == f"nothing: it is {state}"


@pytest.mark.attack(18, guard="preklic_workers.permission:may")
def test_a_permission_that_has_gone_is_seen_in_the_preview():
    job = mail()
    gone = Person("p", permissions={"newsletter": Permission("withdrawn", NOW, "j", 1)})
    assert preview(job, Facts({job.id: "dead"}, {job.id: gone})) == "refused: withdrawn"


def test_an_expired_job_and_a_purpose_that_is_no_more():
    assert preview(mail(expires=MILLIS)) == "expired"
    assert preview(mail("old_news")) == "refused: purpose_denied"
    assert preview(mail("newsletter", "payment")) == "refused: purpose_denied"


def test_a_withdrawal_would_run():
    job = RevokeJob(id=new_id(), producer="website", at=MILLIS, expires=MILLIS + 1, purposes="all", source="api")
    assert preview(job, actor="revoke", queue="revoke") == "would run"


items = st.builds(Item, job=st.text(), queue=st.text(), actor=st.text(), letter=st.text(), outcome=st.text())


@pytest.mark.attack(69, guard="preklic_workers.replaying:unedited")
@given(st.lists(items, min_size=1, max_size=5), st.sampled_from(["job", "queue", "actor", "letter", "outcome"]))
def test_an_edited_plan_does_not_run(planned, field):
    plan = replaying.plan_document(planned, "dead", "ops", NOW)
    assert replaying.items_of(plan) == planned
    plan["items"][0][field] += "x"
    with pytest.raises(ValueError, match="edited"):
        replaying.items_of(plan)
    with pytest.raises(ValueError, match="edited"):
        replaying.items_of(plan | {"items": msgspec.to_builtins([*planned, planned[0]])})


def test_the_preview_counts_by_outcome():
    rows = [Item(job=str(n), queue="q", actor="a", outcome="expired" if n else "would run") for n in range(3)]
    assert replaying.outcomes(rows) == {"expired": 2, "would run": 1}


def test_a_template_that_is_gone_a_mail_that_waits_for_its_time_and_a_grant_that_failed():
    job = mail()
    assert preview(job, Facts({}, {}, templates={"payment"})) == "template gone: newsletter"
    assert preview(job, Facts({}, {}, templates={"newsletter-en"})) == "would run"
    assert preview(job, Facts({}, {}, scheduled={job.id})) == "nothing: it is scheduled"
    assert replaying.preview(encode(job, "send_bulk"), "send.bulk", NOTHING, LUCRUM, NOW - dt.timedelta(hours=1)) == (
        "dead again: clock"
    )


def test_a_no_does_not_expire():
    job = RevokeJob(id=new_id(), producer="website", at=MILLIS, expires=MILLIS - 1, purposes="all", source="api")
    assert preview(job, actor="revoke", queue="revoke") == "would run"


def test_a_replay_does_not_launder_a_job_that_names_another_website():
    body = encode(mail(), "send_bulk")
    say = {by: replaying.preview(body, "send.bulk", NOTHING, LUCRUM, NOW, by) for by in ("website", "website.x", None)}
    assert say == {"website": "would run", "website.x": "dead again: impostor", None: "would run"}


def test_only_what_is_wanted_is_planned():
    head = replaying.head_of(mail())
    found = Found(head.job, "send.bulk", "send_bulk", head)
    odd = Found("odd", "send.bulk", "unknown", None, "dead again: bad_envelope")
    for wanted in (
        Wanted(),
        Wanted(queue="send.bulk"),
        Wanted(purpose="newsletter"),
        Wanted(template="newsletter"),
        Wanted(producer="website"),
        Wanted(jobs=frozenset({head.job})),
    ):
        assert wanted.takes(found)
    for wanted in (
        Wanted(queue="track"),
        Wanted(purpose="offers"),
        Wanted(campaign="spring"),
        Wanted(producer="shop"),
        Wanted(jobs=frozenset({"x"})),
    ):
        assert not wanted.takes(found)
    assert Wanted(queue="send.bulk").takes(odd)
    assert not Wanted(purpose="newsletter").takes(odd)


@given(st.floats(0.1, 10_000), st.lists(st.floats(0, 0.9), min_size=1, max_size=40))
def test_the_bucket_keeps_its_rate_however_long_each_turn_takes(rate, turns):
    now = 0.0
    bucket, gone = Bucket(rate, now), 0
    for turn in turns:
        gone += bucket.take(10**9, now)
        now += turn
    # Never more than the rate and the first one, and less only by what is not a whole job yet.
    assert rate * (now - turns[-1]) - 1.01 <= gone <= rate * now + 1.01
    assert bucket.take(10**9, now + 60) <= 1 + rate + 1e-6  # the bucket takes what is whole but for rounding


def plan_in(state, done=3):
    return {"state": state, "done": done, "chosen": 9, "run_by": "ana"}


def test_what_may_be_run_and_what_gone_on_with():
    assert refusal(plan_in("planned"), resume=False) is None
    assert refusal(plan_in("interrupted"), resume=True) is None
    assert "--resume goes on with exactly the rest" in refusal(plan_in("interrupted"), resume=False)
    for state in ("running", "done", "stopped", "broken"):
        assert refusal(plan_in(state), resume=False)
        assert refusal(plan_in(state), resume=True)
    assert refusal(plan_in("planned"), resume=True)


def test_a_window_that_the_log_does_not_cover_any_more_is_said_plainly():
    made = f'{{"message_timestamp": {MILLIS}}}'.encode()
    there = joblog.Extent(joblog.Entry(700, "j", "track", "track", None, made), 900)
    (note,) = replay_plan._cut(there, NOW - dt.timedelta(days=1))
    assert "the log begins at 2026-11-23 00:00:00" in note
    assert replay_plan._cut(there, NOW) == []
    assert replay_plan._end("", there, None, NOW) == 901
