"""A dead withdrawal may be a no that nobody has applied: all marketing stands still until a person lets it go."""

import pytest

from preklic_shared import metrics
from preklic_shared.ids import new_id
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.wire import encode
from preklic_workers.burials import Burials
from preklic_workers.outcomes import Dead, Done, RetryLater
from preklic_workers.rounds import Rounds
from preklic_workers.settle import fingerprint
from preklic_workers.store import GateBusy, GatePassed
from preklic_workers.upkeep import Upkeep, letter_of
from queueing import now as now_millis
from queueing import revoke
from sending import open_desk, route, send_job
from storing import NEWS, OFFERS, PAYMENT, REGISTRY, claimed, gated, grant, subject
from waiting import auntil

ANA = "ana@primer.si"


@pytest.fixture
def upkeep(store):
    return Upkeep(store, REGISTRY)


def dead_letter(job=None, queue="revoke", body=None, **more):
    headers = {"reason": "unknown_ref", "queue": queue, "attempts": 9, "at": now_millis(), "fingerprint": "f00"} | more
    job = job or revoke()
    return letter_of(encode(job, "revoke") if body is None else body, job.id, headers)


async def gate(store, purpose):
    return await gated(store, subject(ANA), await claimed(store, subject(ANA), purpose), purpose=purpose)


@pytest.mark.parametrize("body", [None, b"[ no job at all"])
async def test_a_dead_withdrawal_closes_the_gate_for_all_marketing_and_no_other_mail(store, upkeep, body):
    await grant(store, ANA, NEWS, OFFERS, PAYMENT)
    letter = dead_letter(body=body)
    await upkeep.bury(letter)
    for purpose in (NEWS, OFFERS):
        assert await gate(store, purpose) == GateBusy("stopped:marketing")
    assert isinstance(await gate(store, PAYMENT), GatePassed)
    [switch] = await store.controls.all()
    assert (switch.name, switch.by) == ("marketing", "upkeep")
    assert letter.job in switch.reason
    await store.controls.go("marketing", reason="applied by hand", by="eva")
    assert isinstance(await gate(store, NEWS), GatePassed)


async def test_other_dead_jobs_stop_nothing(store, upkeep):
    await upkeep.bury(dead_letter(queue="send.bulk", body=b"["))
    await upkeep.bury(dead_letter(queue="track", body=b"["))
    assert await store.controls.all() == []


async def test_to_let_one_purpose_go_does_not_let_marketing_go(store, upkeep):
    await grant(store, ANA)
    await store.controls.stop("purpose:newsletter", reason="relay objects", by="send")
    await upkeep.bury(dead_letter())
    await store.controls.go("purpose:newsletter", reason="mended", by="eva")
    assert await gate(store, NEWS) == GateBusy("stopped:marketing")


async def test_marketing_waits_at_the_worker_and_a_payment_mail_goes(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(ANA, "newsletter")
    await Upkeep(desk.store, REGISTRY).bury(dead_letter())
    job = send_job()
    assert await desk.send(job, ANA) == RetryLater(120, "stopped", count=False)
    # No relay hears of it, and nothing is claimed.
    assert await desk.store.messages.state(job.id) is None
    assert await desk.send(send_job("payment"), ANA) == Done()
    assert len(sink.mails()) == 1
    await desk.store.controls.go("marketing", reason="applied", by="eva")
    assert await desk.send(job, ANA) == Done()
    await desk.close()


async def test_from_the_broker_to_the_switch_and_the_pager(store, upkeep, url, queues, monkeypatch):
    bury, buried = Upkeep.bury, []

    async def told(self, letter):
        await bury(self, letter)
        buried.append(letter.job)  # what follows, up to the ack, is one step

    monkeypatch.setattr(Upkeep, "bury", told)
    job = revoke()
    cause = Dead("unknown_ref", "ref")
    headers = {"reason": cause.reason, "field": cause.field, "queue": "revoke", "attempts": 9, "at": now_millis()}
    headers |= {"fingerprint": fingerprint("revoke", "revoke", cause)}
    async with Publisher(url) as publisher:
        body = encode(job, "revoke")
        await publisher.publish(Publication("dead", "revoke", body, job.id, "revoke", headers))
    burials = Burials(url, upkeep)
    await burials.start()
    await auntil(lambda: buried == [job.id], 10, "it is buried")
    await burials.stop()
    assert queues.ready("dead") == 0
    assert await store.messages.state(job.id) is not None
    assert await store.controls.stopped("marketing") == "marketing"
    rounds = Rounds(upkeep, store, url)
    await rounds.once()
    assert sample("preklic_dead_revocations") == 1
    assert sample("preklic_stopped", switch="marketing") == 1
    [letter] = await store.dead.find()
    await store.dead.move(letter["_id"], "dead", "replayed", "ref recorded")
    await store.controls.go("marketing", reason="applied", by="eva")
    await rounds.once()
    assert sample("preklic_dead_revocations") == 0
    assert sample("preklic_stopped", switch="marketing") is None


async def test_a_letter_that_comes_twice_is_one(store, upkeep):
    letter = dead_letter(job=revoke(id=new_id()))
    await upkeep.bury(letter)
    await upkeep.bury(letter)
    assert len(await store.dead.find()) == 1
    assert len(await store.controls.all()) == 1


def sample(name, **labels):
    return metrics.REGISTRY.get_sample_value(name, labels)
