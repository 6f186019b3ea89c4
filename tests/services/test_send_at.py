"""Mails that wait for their `send_at`: taken once, cancelled by a no, brought back when due, whatever dies."""

import asyncio
import datetime as dt
import functools
import itertools
import json
import time
from dataclasses import replace
from functools import partial

import msgspec
import pytest
from pymongo import DeleteMany

from commanding import Commands
from preklic_shared.ids import new_id
from preklic_shared.job_fields import SEND_AHEAD
from preklic_shared.jobs import RevokeJob, RevokePayload
from preklic_shared.publisher import Publisher
from preklic_shared.settings import Settings
from preklic_shared.wire import decode
from preklic_workers import joblog, looking, timed
from preklic_workers.answer import Answer
from preklic_workers.mailing import Mailer
from preklic_workers.outcomes import Done, Refused, RetryLater
from preklic_workers.replaying import Facts, preview
from preklic_workers.revoke import Revoke
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.scheduling import Scheduler
from preklic_workers.send_plan import claim_of
from preklic_workers.store import Busy, Scheduled, Timed, Unavailable, millis, moment
from preklic_workers.store.asking import APART
from preklic_workers.store.mongo import Collection
from preklic_workers.store.restored import Restored
from producing import bodies_in, sealing
from sending import HOUR, REGISTRY, RING, composer, open_desk, route, send_job
from waiting import auntil

TO = "ana@primer.si"
MINUTE = 60_000
_APPLIED: set[str] = set()
_USED = ("persons", "messages", "schedule", "withdrawals", "acts", "permissions", "askings", "events", "dead")
_composer = functools.cache(composer)


@pytest.fixture
async def desk(mongo_url, one_database, sink, monkeypatch):
    """A desk on the module's database, which is empty; what is dear to make is made once."""
    monkeypatch.setattr("sending.composer", _composer)
    if one_database in _APPLIED:
        monkeypatch.setattr("sending.apply", lambda _mongo: asyncio.sleep(0))
    opened = await open_desk(mongo_url, one_database, [route(sink.port)])
    _APPLIED.add(one_database)
    places = [*(opened.store.mongo[name] for name in _USED), opened.store.mongo.keys()]
    await asyncio.gather(*(place.bulk([DeleteMany({})]) for place in places))
    yield opened
    await opened.close()


def later(purpose="newsletter", *, ahead=HOUR, **more):
    """A job that is to leave `ahead` ms from now."""
    at = int(time.time() * 1000) + ahead
    return msgspec.structs.replace(send_job(purpose), **({"send_at": at, "expires": at + HOUR} | more))


async def answer_to(desk, purposes="all", *, source="api", erase=False, job):
    now = int(time.time() * 1000)
    header = {"producer": "website", "at": now, "expires": now + HOUR, "key": "r", "sealed": "AAAA"}
    no = RevokeJob(id=job, **header, purposes=purposes, source=source, erase=erase)
    opened = Opened(no, RevokePayload(address=TO), 0, "website", False, lambda: True, no_reply)
    return await Revoke(desk.store, REGISTRY, RING.blind, drain_seconds=0.1).handle(opened)


async def revoke(desk, *purposes, job=None, **how):
    job = job or new_id()
    assert await answer_to(desk, *purposes, job=job, **how) == Done()
    return job


async def waiting(desk):
    """The rows that wait, by job."""
    return {row["_id"]: row for row in await desk.store.mongo["schedule"].find({})}


async def states(desk, *jobs):
    return [(await desk.state(job)).state for job in jobs]


async def put_due(desk, count, **more):
    """So many mails whose time has just come."""
    jobs = [later(ahead=-1, **more) for _ in range(count)]
    for job in jobs:
        mail = Timed(
            job.id, desk.subject(TO), job.purpose, "send_bulk", timed.encode(job, "send_bulk"), moment(job.send_at)
        )
        await desk.store.timed.put(claim_of(desk.opened(job, TO), desk.deps, desk.subject(TO), None), mail)
    return jobs


@pytest.mark.attack(11, guard="preklic_workers.send:put_by")
async def test_a_mail_for_later_waits_as_a_sealed_row_and_leaves_in_its_time(desk, sink):
    await desk.grant(TO, "newsletter")
    job = later()
    assert [await desk.send(job, TO) for _ in range(3)] == [Done()] * 3
    row = (await waiting(desk))[job.id]
    assert decode(bytes(row["body"]), "send.bulk") == ("send_bulk", job)
    assert (row["person"], row["by"], row["times"]) == (desk.subject(TO), "website", 3)
    told = await desk.state(job)
    assert (told.state, told.send_at, told.person) == ("scheduled", moment(job.send_at), desk.subject(TO))
    assert await Answer(desk.store, REGISTRY, RING.blind)._status(job.id) == {"state": "scheduled", "reason": None}
    # Not even a worker whose clock is ahead has it before its time.
    assert isinstance(
        await desk.store.messages.claim(claim_of(desk.opened(job, TO), desk.deps, told.person, None)), Busy
    )
    assert sink.mails() == []
    # An hour later.
    desk.store.mongo.ahead += dt.timedelta(milliseconds=HOUR)
    assert (await desk.send(job, TO)).reason == "busy"
    past = {"lease": moment(job.at)}
    await desk.store.mongo["messages"].change({"_id": job.id}, {"$set": past}, {"_id": 1})
    assert await desk.send(job, TO) == Done()
    assert (await states(desk, job), len(sink.mails())) == (["sent"], 1)
    assert await desk.send(job, TO) == Done()
    assert len(sink.mails()) == 1


@pytest.mark.attack(8, guard="preklic_workers.timed:never")
async def test_a_time_that_nobody_could_keep_ends_the_job_at_once(desk, sink):
    await desk.grant(TO, "newsletter")
    ahead = SEND_AHEAD // dt.timedelta(milliseconds=1)
    far = later(ahead=ahead + 6 * MINUTE)
    farthest = later(send_at=253_402_300_799_999, expires=253_402_300_799_999)
    never = later(expires=int(time.time() * 1000) + MINUTE)
    assert await desk.send(far, TO) == await desk.send(farthest, TO) == Refused("too_far_ahead")
    assert await desk.send(never, TO) == Refused("expired")
    assert await states(desk, far, farthest, never) == ["refused", "refused", "expired"]
    assert await waiting(desk) == {}
    assert await desk.send(later(ahead=ahead - MINUTE), TO) == Done()
    assert await desk.send(later(ahead=-HOUR, expires=int(time.time() * 1000) + HOUR), TO) == Done()
    assert await desk.send(later(ahead=3000), TO) == RetryLater(pytest.approx(2.5, abs=2.5), "send_at", count=False)
    assert len(sink.mails()) == 1


class Stepwise:
    """Counts the calls of the store, and does something before or after the one that is `at`."""

    def __init__(self, monkeypatch, at, does, *, after=False):
        self.count, self.at, self.does, self.after, self.off = 0, at, does, after, False
        for name in ("insert", "change", "find_one", "find", "delete", "bulk"):
            monkeypatch.setattr(Collection, name, self._wrapped(getattr(Collection, name)))

    def _wrapped(self, original):
        async def call(collection, *args, **more):
            self.count += not self.off
            hit = self.count == self.at and not self.off
            if hit and not self.after:
                await self._do()
            answer = await original(collection, *args, **more)
            if hit and self.after:
                await self._do()
            return answer

        return call

    async def _do(self):
        self.off = True
        await self.does()


async def dies():
    raise Unavailable("dead")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.attack(17)
async def test_killed_at_any_step_of_the_taking_it_is_taken_by_the_next(desk, sink, monkeypatch, after):
    await desk.grant(TO, "newsletter")
    steps = 0
    for at in range(1, 9):
        job = later()
        with monkeypatch.context() as patch:
            step = Stepwise(patch, at, dies, after=after)
            died = await desk.send(job, TO)
        if not step.off:
            break
        steps += 1
        assert died == RetryLater(5.0, "store_away", count=False)
        assert await desk.send(job, TO) == Done()
        assert await states(desk, job) == ["scheduled"]
        assert job.id in await waiting(desk)
    assert steps >= 3
    assert sink.mails() == []


@pytest.mark.clause("U7", guard="preklic_workers.store.timed:TimedMails.cancel")
@pytest.mark.attack(15, guard="preklic_workers.store.timed:TimedMails.cancel")
async def test_a_no_at_any_step_of_the_taking_leaves_no_body_of_a_cancelled_mail(desk, sink, monkeypatch):
    """Where the no comes before the mail is recorded, the mail waits, and is refused in its time."""
    ends = []
    for at in range(1, 9):
        await desk.grant(TO, "newsletter")
        job = later()
        with monkeypatch.context() as patch:
            step = Stepwise(patch, at, partial(revoke, desk, ("newsletter",)))
            assert await desk.send(job, TO) == Done()
        if not step.off:
            break
        ends += await states(desk, job)
        assert (job.id in await waiting(desk)) == (ends[-1] == "scheduled")
        await desk.store.mongo["persons"].bulk([DeleteMany({})])
    assert set(ends) == {"scheduled", "cancelled"}
    assert ends == sorted(ends, reverse=True)
    assert sink.mails() == []


async def test_a_no_when_it_is_due_is_a_no(desk, sink):
    """The row is on its way: the message is cancelled all the same, and what comes back finds it so."""
    await desk.grant(TO, "newsletter", "offers")
    late, claimed = await put_due(desk, 2)
    await desk.store.timed.published(await desk.store.timed.due(desk.store.mongo.now(), 10))
    await desk.store.messages.claim(claim_of(desk.opened(claimed, TO), desk.deps, desk.subject(TO), None))
    await revoke(desk, ("newsletter",))
    assert await desk.send(late, TO) == Done()
    await desk.store.messages.settle(claimed.id, 1, "deferred", reason="deferred")
    assert await desk.send(claimed, TO) == Refused("withdrawn")
    assert await states(desk, late, claimed) == ["cancelled", "refused"]
    assert sink.mails() == []


@pytest.mark.parametrize("how", [{"purposes": ("newsletter",)}, {"source": "complaint"}, {"purposes": "all"}])
async def test_a_withdrawal_cancels_its_purposes_and_nothing_of_a_contract(desk, sink, how):
    await desk.grant(TO, "newsletter", "offers")
    news, offer, bill = later(), later("offers"), later("payment")
    for job in (news, offer, bill):
        assert await desk.send(job, TO) == Done()
    no = await revoke(desk, **how)
    left = "scheduled" if how.get("purposes") == ("newsletter",) else "cancelled"
    assert await states(desk, news, offer, bill) == ["cancelled", left, "scheduled"]
    assert set(await waiting(desk)) == {bill.id} | ({offer.id} if left == "scheduled" else set())
    history = (await desk.state(news)).history
    assert (history[-1]["state"], history[-1]["by"], history[-1]["reason"]) == ("cancelled", no, "withdrawn")
    # Taken again, by a redelivery or a replay of the log: nothing happens.
    assert await desk.send(news, TO) == Done()
    assert await states(desk, news) == ["cancelled"]
    assert news.id not in await waiting(desk)


@pytest.mark.clause("U7", guard="preklic_workers.store.timed:TimedMails.erase")
async def test_an_erasure_cancels_all_and_its_receipt_counts_them(desk):
    await desk.grant(TO, "newsletter")
    jobs = [later(), later(), later("payment")]
    for job in jobs:
        assert await desk.send(job, TO) == Done()
    erasure = await revoke(desk, erase=True)
    assert await states(desk, *jobs) == ["cancelled"] * 3
    assert await waiting(desk) == {}
    assert (await desk.store.erasures.by(erasure, desk.subject(TO))).scheduled == 3
    # The same job again, as one that was killed after the first cancelling: the receipt says the same.
    await revoke(desk, erase=True, job=erasure)
    assert (await desk.store.erasures.by(erasure, desk.subject(TO))).scheduled == 3
    # A bill that is asked for afterwards is no business of that erasure, nor of a later no.
    bill = later("payment", at=int(time.time() * 1000) + 6 * MINUTE)
    assert await desk.send(bill, TO) == Done()
    await revoke(desk, ("newsletter",))
    assert await states(desk, bill) == ["scheduled"]


@pytest.mark.attack(17)
async def test_an_erasure_that_is_killed_at_any_step_ends_the_same(desk, monkeypatch):
    """The message is changed and the row is not yet, or neither, or both: the next delivery does what is left."""
    steps = 0
    for at in itertools.count(1):
        await desk.grant(TO, "newsletter")
        jobs = [later(), later("payment")]
        assert [await desk.send(job, TO) for job in jobs] == [Done()] * 2
        erasure = new_id()
        with monkeypatch.context() as patch:
            step = Stepwise(patch, at, dies, after=True)
            died = await answer_to(desk, erase=True, job=erasure)
        if not step.off:
            break
        steps += 1
        assert isinstance(died, RetryLater)
        assert await answer_to(desk, erase=True, job=erasure) == Done()
        assert await states(desk, *jobs) == ["cancelled"] * 2
        assert await waiting(desk) == {}
        assert (await desk.store.erasures.by(erasure, desk.subject(TO))).scheduled == 2
        await desk.store.mongo["persons"].bulk([DeleteMany({})])
    assert steps > 10


async def test_an_open_contract_keeps_its_mails_through_an_erasure(desk):
    await desk.grant(TO, "newsletter", "payment")
    news, bill = later(), later("payment")
    assert [await desk.send(job, TO) for job in (news, bill)] == [Done(), Done()]
    erasure = await revoke(desk, erase=True)
    assert await states(desk, news, bill) == ["cancelled", "scheduled"]
    receipt = await desk.store.erasures.by(erasure, desk.subject(TO))
    assert (receipt.scheduled, "contact" in receipt.kept) == (1, True)


async def test_another_body_or_another_time_under_the_same_key_is_a_conflict(desk):
    await desk.grant(TO, "newsletter")
    job = later()
    assert await desk.send(job, TO) == Done()
    assert await desk.send(job, "bor@primer.si") == Refused("idempotency_conflict")
    assert await desk.send(msgspec.structs.replace(job, send_at=job.send_at + 1), TO) == Refused("idempotency_conflict")
    assert await desk.send(msgspec.structs.replace(job, send_at=None), TO) == Refused("idempotency_conflict")
    assert (await waiting(desk))[job.id]["times"] == 1


async def test_a_replay_of_what_waits_or_was_cancelled_does_nothing(desk, sink):
    await desk.grant(TO, "newsletter")
    job, dead = later(), later()
    assert await desk.send(job, TO) == Done()
    for state in ("scheduled", "cancelled"):
        body = timed.encode(job, "send_bulk")
        found = await looking.states(desk.store, [job.id])
        assert (
            preview(body, "send.bulk", Facts(found, {}), REGISTRY, desk.store.mongo.now()) == f"nothing: it is {state}"
        )
        assert await desk.send(job, TO) == Done()
        assert await states(desk, job) == [state]
        await revoke(desk, ("newsletter",))
    # What died before its time, and is replayed before its time, waits.
    await desk.store.messages.died(dead.id, "send", "key_gone", producer="website", expires=moment(dead.expires))
    assert await desk.send(dead, TO) == Done()
    assert (await states(desk, dead), list(await waiting(desk))) == (["scheduled"], [dead.id])


@pytest.fixture
async def scheduler(desk, url, tmp_path):
    """Another scheduler on the broker of `url`."""
    made, path = [], sealing(tmp_path).path

    def one():
        made.append(Mailer(Settings(amqp_url=url, sealing_keys=path)))
        return Scheduler(desk.store, REGISTRY, made[-1])

    yield one
    for mailer in made:
        await mailer.close()


def in_tier(url):
    return [decode(body, "send.bulk")[1].id for body in bodies_in(url, "retry.5s")]


async def confirmation(desk):
    now = desk.store.mongo.now()
    mail = Scheduled(new_id(), desk.subject(TO), b"p" * 16, "newsletter", "confirm", "sl", now, now + APART)
    await desk.store.schedule.put([mail])
    return mail.id


@pytest.mark.attack(11)
async def test_killed_before_it_lets_go_and_beside_another_the_scheduler_makes_no_second_mail(
    desk, sink, url, scheduler, monkeypatch
):
    """Both kinds of rows: mails for later, and the confirmations that nobody published yet."""
    await desk.grant(TO, "newsletter")
    jobs, asked = await put_due(desk, 3), await confirmation(desk)
    with monkeypatch.context() as patch:
        for owner in (type(desk.store.timed), type(desk.store.schedule)):
            patch.setattr(owner, "published", lambda *_: dies())
        for _ in range(2):
            with pytest.raises(Unavailable):
                await scheduler().once()
        patch.setattr(type(desk.store.schedule), "due", lambda *_: asyncio.sleep(0, []))
        with pytest.raises(Unavailable):
            await scheduler().once()
    assert set(await waiting(desk)) == {asked, *(job.id for job in jobs)}
    await asyncio.gather(*(scheduler().once() for _ in range(2)))
    assert await waiting(desk) == {}
    copies = in_tier(url)
    assert set(copies) == {job.id for job in jobs}
    assert len(copies) > len(jobs)
    assert {decode(body, "send.bulk")[1].id for body in bodies_in(url, "send.bulk")} == {asked}
    # The log has what was published to `jobs`, and what comes back is no part of it.
    assert {entry.job for entry in await asyncio.to_thread(lambda: list(joblog.entries(url)))} == {asked}
    for job in [next(job for job in jobs if job.id == copy) for copy in copies]:
        assert await desk.send(job, TO) == Done()
    assert len(sink.mails()) == len(jobs)


async def test_without_a_broker_all_stays_and_goes_when_it_is_back(desk, url, scheduler, free_port):
    jobs, asked = await put_due(desk, 2), await confirmation(desk)
    away = scheduler()
    away.mailer._publisher = Publisher(f"amqp://127.0.0.1:{free_port}/", deadline=0.2)
    await away.once()
    assert set(await waiting(desk)) == {asked, *(job.id for job in jobs)}
    await scheduler().once()
    assert (await waiting(desk), sorted(in_tier(url))) == ({}, sorted(job.id for job in jobs))


async def test_a_row_that_was_put_again_is_not_let_go_by_who_read_the_one_before(desk):
    """A scheduler stood still between confirm and delete, and a worker with a slow clock has put the mail back."""
    (job,) = await put_due(desk, 1)
    read = await desk.store.timed.due(desk.store.mongo.now(), 10)
    claim = claim_of(desk.opened(job, TO), desk.deps, desk.subject(TO), None)
    assert await desk.store.timed.put(claim, replace(read[0], times=0)) == "scheduled"
    await desk.store.timed.published(read)
    assert list(await waiting(desk)) == [job.id]
    await desk.store.timed.published(await desk.store.timed.due(desk.store.mongo.now(), 10))
    assert await waiting(desk) == {}


async def test_what_nobody_brings_back_in_time_is_expired(desk):
    (job,) = await put_due(desk, 1, expires=int(time.time() * 1000) + 50)
    await auntil(lambda: time.time() * 1000 > job.expires, 20, "it is of no use any more")
    (doc,) = await desk.store.messages.lapsed()
    await desk.store.messages.lapse([doc])
    assert await states(desk, job) == ["expired"]


async def test_an_operator_sees_what_waits_and_cancels_one(desk, mongo_url, one_database, monkeypatch, capsys):
    await desk.grant(TO, "newsletter", "offers")
    job, offer, asked = later(), later("offers", ahead=2 * HOUR), await confirmation(desk)
    for each in (job, offer):
        assert await desk.send(each, TO) == Done()
    places = {"PREKLIC_MONGO_URL": mongo_url, "PREKLIC_MONGO_DATABASE": one_database}
    command = Commands(monkeypatch, capsys, places)

    async def run(*arguments):
        return await asyncio.to_thread(command, *arguments)

    code, out, _ = await run("schedule", "list", "--json")
    assert (code, [row["job"] for row in json.loads(out)]) == (0, [asked, job.id, offer.id])
    code, out, _ = await run("schedule", "list", "--purpose", "offers", "--limit", "5")
    assert (code, job.id in out, "offers" in out) == (0, False, True)
    assert (await run("schedule", "cancel", job.id, "--reason", f"{TO} asked"))[0] == 2
    assert (await run("schedule", "cancel", "x", "--reason", "case 17"))[0] == 2
    assert (await run("schedule", "cancel", new_id(), "--reason", "case 17"))[0] == 1
    for one in (job.id, job.id, asked):
        assert (await run("schedule", "cancel", one, "--reason", "case 17"))[0] == 0
    assert [act.facts["job"] for act in await desk.store.acts.of(kind="schedule_cancelled")] == [asked, job.id]
    assert list(await waiting(desk)) == [offer.id]
    code, out, _ = await run("why", job.id)
    assert (code, "scheduled for" in out, "cancelled" in out, "case 17" in out) == (0, True, True, True)
    assert await states(desk, job) == ["cancelled"]
    assert (await desk.store.messages.show(asked))["state"] == "cancelled"
    sent = later("offers", ahead=-1)
    assert await desk.send(sent, TO) == Done()
    assert (await run("schedule", "cancel", sent.id, "--reason", "too late"))[0] == 1
    assert millis(desk.store.mongo.now()) > sent.send_at


async def test_after_a_restore_only_what_may_have_left_is_in_doubt(desk):
    (due,), job = await put_due(desk, 1), later()
    assert await desk.send(job, TO) == Done()
    assert await Restored(desk.store.mongo).doubt_under_way(desk.store.mongo.now()) == 1
    assert await states(desk, due, job) == ["in_doubt", "scheduled"]


async def test_the_questions_of_every_withdrawal_and_round_have_an_index(desk):
    """There are many millions of messages, and few that wait."""
    person = {"person": desk.subject(TO), "send_at": {"$exists": True}}
    for where in (
        person | {"state": "scheduled", "purpose": {"$in": ["newsletter"]}},
        person | {"$or": [{"state": "cancelled", "history.by": "x"}, {"state": "scheduled"}]},
        {"state": "scheduled", "$expr": {"$lte": ["$lease", "$$NOW"]}},
    ):
        plan = await desk.store.mongo.command({"explain": {"find": "messages", "filter": where}})
        chosen = str(plan["queryPlanner"]["winningPlan"])
        assert ("COLLSCAN" in chosen, "'indexName': 'timed" in chosen) == (False, True)
