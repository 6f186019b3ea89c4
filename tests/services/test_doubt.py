"""The doubt cycle: what each purpose says of a mail in doubt, and the evidence that ends it."""

import datetime as dt

import msgspec
import pytest

from preklic_shared import metrics
from preklic_shared.ids import new_id
from preklic_shared.jobs import SendJob, TrackJob
from preklic_shared.publisher import Publisher
from preklic_shared.wire import decode
from preklic_workers import answers, doubt
from preklic_workers.answers import Resolved, TooSoon
from preklic_workers.doubt import ASSUMED_AFTER, FORGOTTEN_AFTER
from preklic_workers.outcomes import Done
from preklic_workers.repeats import Repeats
from preklic_workers.rounds import Rounds
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import Captured, Claimed, Ended, Event, GatePassed
from preklic_workers.store.person_docs import UNTIL
from preklic_workers.track import Track
from preklic_workers.upkeep import Upkeep
from queueing import HOUR as HOUR_MILLIS
from queueing import now as now_millis
from queueing import publication
from storing import (
    MINUTE,
    NEWS,
    PAYMENT,
    REGISTRY,
    claim_of,
    claimed,
    gated,
    grant,
    lease_passes,
    now,
    state,
    subject,
    withdraw,
)

ANA, BOR = "ana@primer.si", "bor@primer.si"
ASKING = msgspec.structs.replace(PAYMENT, in_doubt="ask")


class Asking:
    """The shipped registry, but that payment mails in doubt are asked about."""

    purposes = REGISTRY.purposes

    def get(self, key):
        return ASKING if key == "payment" else REGISTRY.get(key)


@pytest.fixture
def upkeep(store):
    return Upkeep(store, REGISTRY)


@pytest.fixture
def asking(store):
    return Upkeep(store, Asking())


async def in_doubt(store, purpose=NEWS, to=ANA, message=None, **how) -> str:
    """A mail that its worker lost in DATA, and the reaper found."""
    await grant(store, to, purpose, at=now() - MINUTE)
    message = message or new_id()
    await store.messages.claim(claim_of(message, subject(to), purpose, **how))
    assert isinstance(await gated(store, subject(to), message, purpose=purpose), GatePassed)
    await lease_passes(store, message)
    await Upkeep(store, REGISTRY).reap(now())
    assert await state(store, message) == "in_doubt"
    return message


async def hand_overs(store, to=ANA):
    person = await store.persons.whole(subject(to))
    return [one.message for one in person.open], [one.message for one in person.stale]


def event(message, kind, to=ANA):
    return Event(f"{message}|{new_id()}", message, subject(to), kind, "human", now())


async def history(store, message):
    return [(entry["state"], entry.get("reason")) for entry in (await store.messages.show(message))["history"]]


async def test_nobody_is_asked_while_the_relay_may_still_answer(store, asking):
    message = await in_doubt(store, PAYMENT)
    assert (await asking.reap(now() + UNTIL - MINUTE)).round.asked == 0
    assert await hand_overs(store) == ([message], [])


@pytest.mark.attack(17, guard="preklic_workers.doubt:step")
async def test_a_purpose_that_asks_lays_the_mail_before_a_person_and_every_receipt_lists_it(store, asking):
    message = await in_doubt(store, PAYMENT)
    assert (await asking.reap(now() + UNTIL + MINUTE)).round.asked == 1
    assert await state(store, message) == "asked"
    assert await hand_overs(store) == ([], [message])
    assert await store.messages.claim(claim_of(message, subject(ANA), PAYMENT)) == Ended("asked", "left_to_a_person", 1)
    assert not await store.once_more(message, subject(ANA), 1)
    assert (await withdraw(store, ANA, PAYMENT)).captured == (Captured(message, 1),)
    again = await asking.reap(now() + 10 * ASSUMED_AFTER)
    assert (again.round.asked, again.round.assumed, again.left) == (0, 0, 1)


async def test_the_workers_own_late_answer_ends_what_was_asked(store, asking):
    message = await in_doubt(store, PAYMENT)
    await asking.reap(now() + UNTIL + MINUTE)
    await store.messages.settle(message, 1, "failed", reason="failed", heard=True)
    await store.gate.pull(subject(ANA), message, 1)
    assert await state(store, message) == "failed"
    assert await hand_overs(store) == ([], [])


async def test_a_second_turn_that_ends_in_doubt_is_asked_about(store, upkeep):
    message = await in_doubt(store, PAYMENT)
    assert await store.once_more(message, subject(ANA), 1)
    assert await store.messages.claim(claim_of(message, subject(ANA), PAYMENT)) == Claimed(2, doubted=True, again=True)
    await store.messages.settle(message, 2, "in_doubt", reason="lost_after_body")
    looked = (await upkeep.reap(now() + UNTIL + MINUTE)).round
    assert (looked.asked, looked.repeat) == (1, {})


async def test_a_job_that_expired_has_no_second_turn_and_a_person_is_asked(store, upkeep):
    message = await in_doubt(store, PAYMENT, expires=now() + MINUTE)
    assert (await upkeep.reap(now() + UNTIL + MINUTE)).round.asked == 1
    assert await state(store, message) == "asked"


async def test_the_second_turn_of_a_job_that_nobody_holds_is_brought_back_from_the_log(store, upkeep, url, queues):
    at = now_millis()
    job = SendJob(
        id=new_id(), producer="guest", at=at, expires=at + 5 * HOUR_MILLIS, purpose="payment", template="payment",
        key="send-1", sealed="AAAA",
    )  # fmt: skip
    async with Publisher(url) as publisher:
        await publisher.publish(publication(job, "send_now"))
    [(_, body)] = queues.take("send.now")
    await in_doubt(store, PAYMENT, expires=now() + 5 * dt.timedelta(hours=1), message=job.id)
    assert (await upkeep.reap(now() + FORGOTTEN_AFTER - MINUTE)).round.repeat == {}
    later = now() + FORGOTTEN_AFTER + MINUTE
    repeat = (await upkeep.reap(later)).round.repeat
    assert list(repeat) == [job.id]
    repeats = Repeats(url)
    assert [await repeats.publish(repeat, later) for _ in range(2)] == [1, 0]
    (properties, again), *none = queues.take("retry.5s")
    assert (again, none, properties.headers["by"]) == (body, [], "guest")
    assert decode(again, "send.now")[1].id == job.id
    store.mongo.ahead += FORGOTTEN_AFTER + MINUTE
    await Rounds(upkeep, store, url).once()
    assert len(queues.take("retry.5s")) == 1
    assert await store.once_more(job.id, subject(ANA), 1)


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("clicked", "sent"),
        ("opened", "sent"),
        ("delivered", "sent"),
        ("bounced", "bounced"),
        ("complained", "complained"),
    ],
)
async def test_evidence_ends_a_doubt_and_takes_the_hand_over_away(store, kind, end):
    message = await in_doubt(store)
    assert await doubt.heard(store, [event(message, kind)]) == 1
    assert await state(store, message) == end
    assert await hand_overs(store) == ([], [])
    assert (await history(store, message))[-1] == (end, kind)
    assert await doubt.heard(store, [event(message, kind)]) == 0


async def test_evidence_that_came_before_the_reaper_counts_too(store, upkeep):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), message)
    await store.events.record([event(message, "delivered")])
    await lease_passes(store, message)
    reaped = await upkeep.reap(now())
    assert (reaped.in_doubt, reaped.round.proven, reaped.left) == (1, 1, 0)
    assert await state(store, message) == "sent"


async def test_evidence_outlives_an_assumption(store, upkeep):
    message = await in_doubt(store)
    await upkeep.reap(now() + ASSUMED_AFTER + MINUTE)
    assert await state(store, message) == "assumed"
    assert await doubt.heard(store, [event(message, "clicked")]) == 1
    assert (await state(store, message), await hand_overs(store)) == ("sent", ([], []))


async def test_evidence_spares_the_second_mail(store):
    message = await in_doubt(store, PAYMENT)
    await store.once_more(message, subject(ANA), 1)
    await doubt.heard(store, [event(message, "delivered")])
    assert await store.messages.claim(claim_of(message, subject(ANA), PAYMENT)) == Ended("sent", "delivered", 0)


async def test_a_proof_after_two_hand_overs_pulls_none_for_nobody_knows_of_which_it_is(store):
    message = await in_doubt(store, PAYMENT)
    await store.once_more(message, subject(ANA), 1)
    await store.messages.claim(claim_of(message, subject(ANA), PAYMENT))
    await gated(store, subject(ANA), message, 2, PAYMENT)
    await store.messages.settle(message, 2, "in_doubt", reason="lost_after_body")
    assert await doubt.heard(store, [event(message, "delivered")]) == 1
    assert await state(store, message) == "sent"
    assert await hand_overs(store) == ([], [message, message])


async def test_a_second_hand_over_that_is_under_way_is_not_pulled_by_evidence_of_the_first(store):
    message = await in_doubt(store, PAYMENT)
    await store.once_more(message, subject(ANA), 1)
    await store.messages.claim(claim_of(message, subject(ANA), PAYMENT))
    assert isinstance(await gated(store, subject(ANA), message, 2, PAYMENT), GatePassed)
    assert await doubt.heard(store, [event(message, "delivered")]) == 0
    assert await hand_overs(store) == ([message], [message])


async def test_events_of_somebody_else_or_of_a_mail_that_is_in_no_doubt_prove_nothing(store):
    message = await in_doubt(store)
    assert await doubt.heard(store, [event(message, "clicked", BOR), event(message, "deferred")]) == 0
    assert await state(store, message) == "in_doubt"
    await grant(store, BOR)
    refused = await claimed(store, subject(BOR))
    await store.messages.settle(refused, 1, "refused", reason="withdrawn")
    assert await doubt.heard(store, [event(refused, "clicked", BOR)]) == 0
    assert await state(store, refused) == "refused"


async def test_a_click_that_may_be_recorded_resolves_and_one_that_may_not_is_not_even_read(store):
    message, other = await in_doubt(store), await in_doubt(store, to=BOR)
    await grant(store, ANA, switches=["engagement.clicks"])
    batch = [await clicked(store, message, ANA), await clicked(store, other, BOR)]
    assert (await Track(store).handle(batch))[0] == Done()
    assert (await state(store, message), await state(store, other)) == ("sent", "in_doubt")


async def clicked(store, message, to):
    at = now_millis()
    pid = (await store.persons.whole(subject(to))).pid.hex()
    job = TrackJob(
        id=new_id(), producer="gateway", at=at, expires=at + HOUR_MILLIS, event="clicked", message=message, person=pid,
        link=0, agent="browser",
    )  # fmt: skip
    return Opened(job, None, 0, "gateway", False, lambda: True, no_reply)


async def test_a_persons_word_ends_a_doubt_and_is_kept_with_who_and_why(store):
    message = await in_doubt(store)
    said = {"by": "eva", "why": "the customer answered it"}
    assert await answers.resolve(store, [message], "sent", **said) == [Resolved(message, "in_doubt", "sent", True)]
    last = (await store.messages.show(message))["history"][-1]
    assert {name: last[name] for name in ("state", "reason", "by", "why")} == {
        "state": "sent", "reason": "answered", **said,
    }  # fmt: skip
    assert await answers.resolve(store, [message], "sent", **said) == [Resolved(message, "sent", "sent", True)]
    assert len((await store.messages.show(message))["history"]) == 3
    assert await hand_overs(store) == ([], [])


async def test_nobody_may_assume_while_the_relay_may_still_answer(store, asking):
    message = await in_doubt(store, PAYMENT)
    with pytest.raises(TooSoon, match="may still answer"):
        await answers.resolve(store, [message], "assumed", by="eva", why="w")
    assert (await state(store, message), await hand_overs(store)) == ("in_doubt", ([message], []))
    await asking.reap(now() + UNTIL + MINUTE)
    [answer] = await answers.resolve(store, [message], "assumed", by="eva", why="w")
    assert (answer.after, await hand_overs(store)) == ("assumed", ([], [message]))
    [answer] = await answers.resolve(store, [message], "sent", by="eva", why="she has it")
    assert (answer.after, await hand_overs(store)) == ("sent", ([], []))


async def test_what_is_not_in_doubt_stays_as_it_is(store):
    await grant(store, ANA)
    running = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), running)
    gone = new_id()
    for word in ("sent", "assumed"):
        assert await answers.resolve(store, [running, gone], word, by="eva", why="w") == [
            Resolved(running, "claimed", "claimed", False),
            Resolved(gone, None, None, False),
        ]
    assert await hand_overs(store) == ([running], [])


async def test_the_list_says_what_is_known(store):
    message = await in_doubt(store, PAYMENT)
    await store.events.record([event(message, "deferred")])
    [row] = await answers.listing(store, REGISTRY, purpose=None, limit=10)
    assert row["message_id"] == f"<{message}@lucrum.example>"
    assert {name: row[name] for name in ("state", "policy", "reason", "known", "second_turn")} == {
        "state": "in_doubt", "policy": "once_more", "reason": "lease_over", "known": ["deferred"], "second_turn": False,
    }  # fmt: skip
    assert await answers.listing(store, REGISTRY, purpose="newsletter", limit=10) == []


async def test_a_relays_log_ends_the_doubts_that_it_names(store, upkeep):
    sent, bounced, unknown = [await in_doubt(store, to=to) for to in (ANA, BOR, "cene@primer.si")]
    proofs = {sent: "sent", bounced: "bounced", new_id(): "sent"}
    ended = await answers.by_log(store, proofs, by="eva", why="log of the 24th")
    assert {one.job: one.after for one in ended} == {sent: "sent", bounced: "bounced"}
    assert await state(store, unknown) == "in_doubt"
    assert await answers.by_log(store, proofs, by="eva", why="again") == []


async def test_the_metrics_count_the_doubts_and_what_was_asked(store, asking, url):
    await in_doubt(store, PAYMENT)
    await in_doubt(store, to=BOR)
    await Rounds(asking, store, url).once()
    assert (sample("preklic_in_doubt"), sample("preklic_in_doubt_asked")) == (2, 0)
    await asking.reap(now() + UNTIL + MINUTE)
    assert (sample("preklic_in_doubt"), sample("preklic_in_doubt_asked")) == (2, 1)


def sample(name):
    return metrics.REGISTRY.get_sample_value(name)
