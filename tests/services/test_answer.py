import json
import time

import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import AskJob, AskPayload
from preklic_workers.answer import Answer
from preklic_workers.blind import Blind
from preklic_workers.outcomes import Dead, Done, Refused
from preklic_workers.runtime import Opened
from storing import NEWS, PAYMENT, REGISTRY, RING, claimed, grant, now, subject, withdraw

ANA, BOR, CENE = "ana@primer.si", "bor@primer.si", "cene@primer.si"


class Desk:
    """Asks, and keeps what was replied."""

    def __init__(self, store):
        self.handler = Answer(store, REGISTRY, Blind(suppress=b"", lookup=RING.blind.lookup))
        self.job = ""

    async def ask(self, question, *, address=None, expired=False, **fields):
        replies = []

        async def reply(body):
            replies.append(json.loads(body))

        at = int(time.time() * 1000)
        self.job = new_id()
        job = AskJob(id=self.job, producer="gateway", at=at, expires=at + 2000, question=question, **fields)
        payload = AskPayload(address=address) if address else None
        outcome = await self.handler.ask(Opened(job, payload, 0, "gateway", expired, lambda: True, reply))
        return outcome, replies


@pytest.fixture
def desk(store):
    return Desk(store)


@pytest.mark.clause("U6", guard="preklic_workers.answer:is_customer")
async def test_a_customer_is_known_by_keyed_hash_and_the_question_is_recorded(store, desk):
    await grant(store, ANA, PAYMENT)
    await grant(store, BOR, NEWS)
    for address, existing in ((ANA, True), ("ANA@primer.si", True), (BOR, False), (CENE, False)):
        assert await desk.ask("customer", address=address) == (Done(), [{"existing": existing}])
        recorded = await store.messages.show(desk.job)
        assert (recorded["kind"], recorded["reason"]) == ("ask", "customer_check")
        assert "primer.si" not in str(recorded)


async def test_an_erased_person_is_no_customer(store, desk):
    await grant(store, ANA, PAYMENT)
    await store.persons.erase(subject(ANA), now(), lambda _person: frozenset())
    assert await desk.ask("customer", address=ANA) == (Done(), [{"existing": False}])


async def test_the_status_of_a_job_is_state_and_reason(store, desk):
    message = await claimed(store, subject(ANA))
    await store.messages.settle(message, 1, "refused", reason="withdrawn")
    assert await desk.ask("status", message=message) == (Done(), [{"state": "refused", "reason": "withdrawn"}])
    assert await desk.ask("status", message=new_id()) == (Done(), [{}])


async def test_preferences_say_what_the_person_can_stop(store, desk):
    await grant(store, ANA, NEWS)
    await withdraw(store, ANA, REGISTRY.get("offers"))
    pid = (await store.persons.whole(subject(ANA))).pid.hex()
    outcome, [reply] = await desk.ask("preferences", person=pid)
    assert outcome == Done()
    said = reply["permissions"]
    assert (said["newsletter"], said["offers"], said["proposals"]) == ("granted", "withdrawn", "none")
    assert said["proposals.profiling"] == "none"
    assert "payment" not in said
    assert await desk.ask("preferences", person="00" * 16) == (Done(), [{}])


async def test_a_late_or_half_question_gets_no_answer(store, desk):
    assert await desk.ask("customer", address=ANA, expired=True) == (Refused("expired"), [])
    assert await desk.ask("customer") == (Dead("malformed", "question"), [])
    assert await desk.ask("status") == (Dead("malformed", "question"), [])
