import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.ids import new_id
from preklic_shared.jobs import RevokeJob, SendJob
from preklic_shared.registry import load_registry
from preklic_shared.wire import encode
from preklic_workers import replaying
from preklic_workers.permission import Permission, Person
from preklic_workers.replaying import Facts, Item

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
