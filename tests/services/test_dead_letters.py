"""Dead letters as they are kept, found page by page, grouped, let go and taken back."""

import asyncio
import datetime as dt
import itertools

import msgspec
import pytest

from preklic_shared import metrics
from preklic_shared.ids import new_id
from preklic_shared.wire import encode
from preklic_workers import discarding, runtime
from preklic_workers.burials import letter_from
from preklic_workers.discarding import Withdrawal
from preklic_workers.outcomes import Dead, RetryLater
from preklic_workers.rounds import GROUPS, Rounds, by_fingerprint
from preklic_workers.runtime import Delivery, Handler, Opened
from preklic_workers.settle import dead_publication, fingerprint
from preklic_workers.sifting import KEYS, parse
from preklic_workers.store import DeadLetter, Withdraw
from preklic_workers.store.dead import asking, grouping
from preklic_workers.upkeep import Upkeep, letter_of
from queueing import now as millis_now
from queueing import revoke, track
from sending import send_job
from storing import MINUTE, NEWS, REGISTRY, claim_of, claimed, grant, lease_passes, now, state, subject

ANA = "ana@primer.si"
LATEST = dt.datetime(2026, 11, 27, 14, tzinfo=dt.UTC)
WHO = {"by": "eva", "why": "case 17"}


@pytest.fixture
def store(emptied_store):
    return emptied_store


@pytest.fixture
def upkeep(store):
    return Upkeep(store, REGISTRY)


def letter(number=0, **changes):
    fields = {"id": f"{new_id()}.1", "job": new_id(), "queue": "send.bulk", "actor": "send_bulk", "attempts": 1}
    fields |= {"reason": "template_error", "fingerprint": "f00", "at": LATEST - number * MINUTE, "body": b"x"}
    return DeadLetter(**(fields | changes))


async def buried(upkeep, job=None, queue="send.bulk", **headers):
    """A job that died after its claim, as upkeep keeps it."""
    job = job or send_job()
    headers = {"reason": "template_error", "queue": queue, "attempts": 3, "fingerprint": "f00"} | headers
    found = letter_of(encode(job, queue.replace(".", "_")), job.id, {"at": millis_now()} | headers)
    await upkeep.bury(found)
    return found


async def dead_mail(store, upkeep):
    """A claimed mail that died: its letter, with the message `dead`."""
    message = await claimed(store, subject(ANA))
    await store.messages.settle(message, 1, "dead", reason="template_error")
    return await buried(upkeep, send_job(job_id=message))


def nothing(_count):
    """Nobody looks."""


async def discard(store, *names, **more):
    return await discarding.discard(
        store, await discarding.named(store, names, "dead", "discarded"), nothing, **WHO, **more
    )


async def undiscard(store, *names):
    return await discarding.undiscard(store, await discarding.named(store, names, "discarded", "dead"), nothing, **WHO)


# What is kept


class Odd(Exception):
    """aiosmtplib's own exceptions have the same two attributes."""

    code, message = 451, "4.7.1 go away, ana@primer.si"


async def test_a_letter_says_what_failed_for_what_and_whose_and_no_text(store, upkeep):
    await grant(store, ANA)
    job = msgspec.structs.replace(send_job(), campaign="spring-2027")
    await store.messages.claim(claim_of(job.id, subject(ANA)))

    async def failing(_opened):
        raise Odd

    handler = Handler("send_bulk", "send.bulk", failing, batch=False)
    outcome = await runtime.handle(handler, opened_of(job, attempt=99))
    assert isinstance(outcome, Dead)
    delivery = Delivery("send.bulk", encode(job, "send_bulk"), lambda: True, job.id, 2, published_by="website.shop")
    publication = dead_publication(outcome, delivery, "send_bulk")
    await store.messages.settle(job.id, 1, "dead", reason=outcome.reason)
    await upkeep.bury(letter_from(publication.body, job.id, publication.headers))
    found = await store.dead.show(job.id)
    assert {name: found[name] for name in ("purpose", "template", "campaign", "person", "queue", "actor", "user")} == {
        "purpose": "newsletter",
        "template": "newsletter",
        "campaign": "spring-2027",
        "person": subject(ANA),
        "queue": "send.bulk",
        "actor": "send_bulk",
        "user": "website.shop",
    }
    assert (found["exception"], found["frame"], found["code"]) == ("Odd", "preklic_workers.runtime:handle", "4.7.1")
    assert (found["attempts"], found["first"], found["state"]) == (3, found["last"], "dead")
    assert "primer" not in str(found | {"body": ""})


def opened_of(job, attempt):
    return Opened(job, None, attempt, None, expired=False, alive=lambda: True, reply=runtime.no_reply)


async def test_what_a_claim_and_a_relay_said_is_taken_from_the_mails_record(store, upkeep):
    message = await claimed(store, subject(ANA))
    reply = {"code": 451, "enhanced": "4.7.28"}
    await store.messages.settle(message, 1, "deferred", reason="deferred", relay="sink", reply=reply)
    await upkeep.bury(letter_from(b"[", message, {"reason": "bad_envelope", "queue": "send.bulk", "fingerprint": "f"}))
    [found] = await store.dead.find(where=parse("code=4.7.*,purpose=newsletter").query(now()))
    assert (found["job"], found["code"], found["person"]) == (message, "4.7.28", subject(ANA))


async def test_what_the_broker_buried_names_its_publisher_and_believes_no_header(store, upkeep):
    death = {"reason": "expired", "queue": "send.bulk"}
    job = send_job()
    forged = {
        "x-death": [death],
        "by": "ana@primer.si",
        "frame": "<b>",
        "code": "ana@primer.si",
        "reason": "ana@primer.si",
    }
    await upkeep.bury(letter_from(encode(job, "send_bulk"), job.id, forged, "website.shop"))
    found = await store.dead.show(job.id)
    assert (found["user"], found["reason"]) == ("website.shop", "broker_expired")
    assert "frame" not in found
    assert "primer" not in str(found | {"body": ""})


async def test_a_header_that_is_no_word_keeps_no_letter_out(upkeep, store):
    odd = {
        "reason": "unexpected:<b>",
        "queue": "track",
        "by": 7,
        "frame": "ana@primer.si",
        "code": [1],
        "fingerprint": "f",
    }
    await upkeep.bury(letter_from(b"[", new_id(), odd))
    [found] = await store.dead.find()
    assert not {"exception", "frame", "code", "user"} & found.keys()


def test_a_fingerprint_tells_frames_and_codes_apart_and_keeps_the_old_ones():
    causes = [Dead("unexpected:E"), Dead("unexpected:E", frame="a:b"), Dead("unexpected:E", frame="a:c")]
    causes += [Dead("unexpected:E", code="4.7.1"), Dead("unexpected:F"), Dead("unexpected:E", "x")]
    prints = [fingerprint("send.bulk", "send_bulk", cause) for cause in causes]
    assert len(set(prints)) == len(causes)
    assert prints[0] == "baae703ac8f7"  # as it was before frames were told


async def test_letters_of_before_are_read_like_new_ones(store):
    old = {"_id": "old.1", "queue": "track", "reason": "bad_envelope", "fingerprint": "f00", "attempts": 1}
    await store.mongo["dead"].insert(old | {"first": now(), "last": now(), "body": b"[", "state": "dead"})
    [group] = await store.dead.groups()
    assert (group.count, group.exception, (await store.dead.find())[0]["_id"]) == (1, "", "old.1")


# Pages, groups, filters


async def test_pages_stay_as_they_are_while_letters_arrive(store):
    letters = [letter(number // 3) for number in range(30)]  # three died in each minute
    await asyncio.gather(*(store.dead.add(one) for one in letters))
    seen, after = [], None
    for late in itertools.count():
        page = await store.dead.find(limit=7, after=after)
        if not page:
            break
        seen += [one["_id"] for one in page]
        after = (page[-1]["last"], page[-1]["_id"])
        await store.dead.add(letter(-1 - late))
    assert len(seen) == len(set(seen)) == 30
    assert set(seen) == {one.id for one in letters}


async def test_every_key_finds_what_it_names_and_leaves_the_rest(store):
    words = {"purpose": "payment", "campaign": "c1", "template": "bill", "queue": "send.now", "reason": "altered"}
    words |= {"field": "sealed.to", "actor": "send_now", "exception": "KeyError", "frame": "a:b", "user": "shop"}
    words |= {"fingerprint": "f01", "code": "4.7.1", "person": subject(ANA)}
    one, other = letter(**words), letter(10)
    await store.dead.add(one)
    await store.dead.add(other)
    asked = [f"{key}={value}" for key, value in words.items()] + ["code=4.*", "queue=*.now", "campaign=c*"][::2]
    asked += [
        "attempts<2,last>=2026-11-27T14:00:00Z",
        "first>2026-11-27T13:55:00Z",
        "age<8m",
        "state=dead,purpose=pay*",
    ]
    for text in asked:
        found = await store.dead.find(where=parse(text).query(LATEST + MINUTE))
        assert [each["_id"] for each in found] == [one.id], text
    assert {text.partition("=")[0] for text in words} <= set(KEYS)
    assert len(await store.dead.find(where=parse("code!=5.*").query(now()))) == 2
    assert await store.dead.find(where=parse("state=discarded").query(now())) == []


async def explained(store, command):
    plan = await store.mongo.command({"explain": command, "verbosity": "queryPlanner"})
    return str(plan).partition("rejectedPlans")[0]


async def test_a_page_is_read_from_an_index_in_its_order(store):
    letters = [letter(n, queue="track", fingerprint=f"f{n}") for n in range(300)] + [letter(999)]
    await asyncio.gather(*(store.dead.add(one) for one in letters))
    asked = [
        (asking("dead"), "sifted"),
        (asking("dead", after=(LATEST, "x"), where=parse("purpose=payment,age<2h").query(LATEST)), "sifted"),
        (asking("dead", where=parse("queue=send.bulk").query(LATEST)), "queue"),
        (asking("dead", where=parse("fingerprint=f00").query(LATEST)), "causes"),
    ]
    for where, index in asked:
        plan = await explained(store, {"find": "dead", "filter": where, "sort": {"last": -1, "_id": -1}, "limit": 100})
        assert f"'indexName': '{index}'" in plan
        assert "'stage': 'SORT'" not in plan


async def test_groups_are_counted_without_reading_a_letter(store):
    await store.dead.add(letter())
    for text in ("", "reason=template_error", "purpose=pay*,code=4.7.*,age<2h", "attempts>1"):
        pipeline = grouping(asking("dead", where=parse(text).query(LATEST)), 100)
        assert "FETCH" not in await explained(store, {"aggregate": "dead", "pipeline": pipeline, "cursor": {}}), text


async def test_the_metric_names_the_largest_groups_and_adds_up_the_others(store, upkeep):
    letters = [letter(fingerprint=f"f{n:03}") for n in range(GROUPS + 9)] + [letter(fingerprint="f007")]
    await asyncio.gather(*(store.dead.add(one) for one in letters))
    await Rounds(upkeep, store, "amqp://127.0.0.1:1/")._tell()
    samples = {one.labels["fingerprint"]: one.value for family in metrics.DEAD.collect() for one in family.samples}
    assert len(samples) == GROUPS + 1
    assert (samples["f007"], samples["other"], sum(samples.values())) == (2, 9, len(letters))
    assert by_fingerprint([], 0) == {}


# Letting go, and taking back


async def test_what_is_let_go_is_kept_with_who_when_and_why_and_counts_as_discarded(store, upkeep):
    one = await dead_mail(store, upkeep)
    result = await discard(store, one.job)
    assert (result.changed, result.asked) == (1, 1)
    found = await store.dead.show(one.id)
    assert (found["state"], found["why"], bytes(found["body"])) == ("discarded", "case 17", one.body)
    assert [(entry["state"], entry["by"], entry["act"]) for entry in found["history"]] == [
        ("discarded", "eva", result.act)
    ]
    message = await store.messages.show(one.job)
    assert (message["state"], message["reason"], message["history"][-1]["by"]) == ("discarded", "template_error", "eva")
    [act] = await store.acts.of(kind="dead_discarded")
    assert (act.by, act.why, act.person, act.facts["count"]) == ("eva", "case 17", subject(ANA), 1)
    # Twice is once, and no second act.
    assert await discard(store, one.id) == discarding.Outcome(0, 0)
    assert len(await store.acts.of(kind="dead_discarded")) == 1
    assert (await undiscard(store, one.id)).changed == 1
    message = await store.messages.show(one.job)
    assert (message["state"], message["reason"]) == ("dead", "template_error")
    assert [entry["state"] for entry in (await store.dead.show(one.id))["history"]] == ["discarded", "dead"]


async def test_a_discarded_mail_is_not_claimed_and_one_taken_back_is(store, upkeep):
    one = await dead_mail(store, upkeep)
    await lease_passes(store, one.job)
    await discard(store, one.id)
    claim = claim_of(one.job, subject(ANA))
    assert (await store.messages.claim(claim)).state == "discarded"
    await undiscard(store, one.id)
    assert (await store.messages.claim(claim)).epoch == 2


async def test_what_is_replayed_or_under_way_again_is_not_let_go(store, upkeep):
    replayed, running = await dead_mail(store, upkeep), await dead_mail(store, upkeep)
    await store.dead.move(replayed.id, "dead", "replayed", "mended")
    chosen = await discarding.named(store, [replayed.id], "dead", "discarded")
    assert (len(chosen.letters), [one["_id"] for one in chosen.otherwise]) == (0, [replayed.id])
    await lease_passes(store, running.job)
    await store.messages.claim(claim_of(running.job, subject(ANA)))
    assert (await discard(store, running.id)).changed == 0
    assert (await store.dead.show(running.id))["state"] == "dead"
    assert await state(store, running.job) == "claimed"


async def test_a_discard_and_a_claim_at_once_leave_one_of_the_two(store, upkeep):
    for turn in range(16):
        one = await dead_mail(store, upkeep)
        await lease_passes(store, one.job)
        works = [discard(store, one.id), store.messages.claim(claim_of(one.job, subject(ANA)))]
        await asyncio.gather(*(works[::-1] if turn % 2 else works))
        found = ((await store.dead.show(one.id))["state"], await state(store, one.job))
        assert found in {("discarded", "discarded"), ("dead", "claimed")}


async def test_many_who_let_go_at_once_do_it_once(store, upkeep):
    one = await dead_mail(store, upkeep)
    second = await buried(upkeep, send_job(job_id=one.job), at=millis_now() + 5)
    await store.dead.add(letter(id=f"{one.job}.2", job=one.job))  # the same job died twice
    results = await asyncio.gather(*(discard(store, second.job) for _ in range(8)))
    assert sum(result.changed for result in results) == 2
    assert (
        len([entry for entry in (await store.messages.show(one.job))["history"] if entry["state"] == "discarded"]) == 1
    )
    assert (await undiscard(store, one.id)).changed == 2
    assert await state(store, one.job) == "dead"


async def test_a_job_that_was_sent_all_the_same_stays_sent(store, upkeep):
    one = await dead_mail(store, upkeep)
    await store.messages.settle(one.job, 1, "sent")
    assert (await discard(store, one.id)).changed == 1
    assert await state(store, one.job) == "sent"
    await undiscard(store, one.id)
    assert await state(store, one.job) == "sent"


async def test_what_an_erasure_emptied_is_not_taken_back(store, upkeep):
    await grant(store, ANA)
    one = await dead_mail(store, upkeep)
    await store.erasures.clear(subject(ANA), ())
    assert (await store.dead.show(one.id))["body"] == b""
    assert (await undiscard(store, one.id)).changed == 0
    assert ((await store.dead.show(one.id))["state"], await state(store, one.job)) == ("discarded", "discarded")


async def test_a_dead_withdrawal_is_a_no_that_only_somebody_who_answers_for_it_lets_go(store, upkeep):
    readable = await buried(upkeep, revoke(), "revoke", reason="unknown_ref")
    await upkeep.bury(letter_of(b"[ no job", new_id(), {"reason": "bad_envelope", "queue": "revoke"}))
    mail = await buried(upkeep)
    chosen = await discarding.matching(store, "dead", {}, "")
    assert ([one["_id"] for one in chosen.letters], len(chosen.withdrawals)) == ([mail.id], 2)
    for names in ([readable.id], [readable.id, mail.id]):
        with pytest.raises(Withdrawal):
            await discard(store, *names)
    with pytest.raises(Withdrawal):  # by the way, together with others
        await discard(store, readable.id, mail.id, law=True)
    assert await store.dead.count("revoke") == 2
    assert await store.acts.of() == []
    result = await discard(store, readable.id, law=True)
    assert (result.changed, result.marketing_stopped) == (1, True)
    assert [act.kind for act in await store.acts.of()] == ["withdrawal_discarded"]
    # Taken back it is a no again, and all marketing stands still before that is so.
    await store.controls.go("marketing", reason="applied", by="eva")
    assert (await undiscard(store, readable.id)).marketing_stopped
    assert await store.controls.stopped("marketing") == "marketing"
    assert await store.dead.count("revoke") == 2


async def test_a_withdrawal_that_was_applied_all_the_same_may_go(store, upkeep):
    no = revoke()
    await store.withdrawals.withdraw(Withdraw(no.id, subject(ANA), (NEWS.key,), "one_click", now()))
    await store.withdrawals.applied(no.id, (), ())
    one = await buried(upkeep, no, "revoke", reason="unexpected:KeyError")
    assert (await discard(store, one.id)).changed == 1
    assert [act.kind for act in await store.acts.of()] == ["dead_discarded"]


async def test_a_large_group_is_let_go_in_parts(store):
    await asyncio.gather(*(store.dead.add(letter(n % 50)) for n in range(1100)))
    told = []
    chosen = await discarding.matching(
        store, "dead", parse("reason=template_error").query(now()), "reason=template_error"
    )
    result = await discarding.discard(store, chosen, told.append, **WHO)
    assert (result.changed, told) == (1100, [500, 500, 100])
    assert (await store.dead.count(), len(await store.acts.of())) == (0, 1)


async def test_other_outcomes_carry_no_frame():
    async def failing(_opened):
        raise Odd

    handler = Handler("track", "track", failing, batch=False)
    assert isinstance(await runtime.handle(handler, opened_of(track(), attempt=0)), RetryLater)
