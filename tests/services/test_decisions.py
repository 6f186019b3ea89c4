"""The decision table on real services: the gate's filter on every person, and mails that cost no conversation."""

import itertools

import pytest

from deciding import CHOICE, GOOD, ORDERED, Case, answer, everybody, purpose_of
from preklic_workers.outcomes import Refused
from preklic_workers.store import person_docs
from sending import open_desk, route, send_job
from storing import put_persons

TO = "ana@primer.example"
# Each person says one thing of these purposes and another thing of those: all pairs are in the table.
THESE = {"newsletter", "payment", "notices"}
THOSE = (CHOICE | ORDERED) - THESE


@pytest.mark.attack(14, guard="preklic_workers.store.person_docs:permitted")
async def test_the_gates_filter_gives_the_policys_answer_to_every_person(store):
    people = {f"{number:043d}": someone for number, someone in enumerate(everybody())}
    for name, one in people.items():
        said = dict.fromkeys(THESE, one.said) | dict.fromkeys(THOSE, one.of_others)
        states = {key: state for key, state in said.items() if state is not None}
        await put_persons(store, [name], states, one.suppressed, erased=one.erased)
    for use, (_, _, confirming) in itertools.product(sorted(THESE | THOSE), GOOD):
        where = person_docs.permitted(purpose_of(use), confirming=confirming)
        passing = {doc["_id"] for doc in await store.mongo["persons"].find(where, {"_id": 1})}
        for name, one in people.items():
            mirrored = one if use in THESE else type(one)(one.of_others, one.said, one.suppressed, one.erased)
            case = Case(use, mirrored, confirming=confirming)
            assert (name in passing) == (answer(case) is None), case


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    yield desk
    await desk.close()


async def suffer(desk, why):
    """Everything permitted, and then this no."""
    await desk.grant(TO, "newsletter", "offers")
    if why == "objected":
        await desk.withdraw(TO, ["newsletter"], objected=frozenset({"newsletter"}))
    elif why == "suppressed_erased":
        await desk.withdraw(TO, [], suppress="erased")
    else:
        await desk.withdraw(TO, [], suppress="complaint")


@pytest.mark.attack(14, guard="preklic_workers.permission:may")
@pytest.mark.parametrize("why", ["objected", "suppressed_erased", "suppressed_complaint"])
async def test_each_other_no_costs_no_conversation_either_and_a_contract_goes_on(desk, sink, why):
    await suffer(desk, why)
    before = sink.counts()
    job = send_job()
    assert await desk.send(job, TO, attempt=1) == Refused(why)
    assert (await desk.state(job)).reason == why
    assert (sink.counts(), desk.replies) == (before, [])
    await desk.send(bill := send_job("payment"), TO)
    assert (await desk.state(bill)).state == "sent"


@pytest.mark.attack(13, guard="preklic_workers.permission:may_begin")
async def test_a_use_that_is_not_registered_costs_no_conversation(desk, sink):
    await desk.grant(TO, "newsletter")
    before = sink.counts()
    job = send_job("unheard_of", "newsletter")
    assert await desk.send(job, TO) == Refused("purpose_denied")
    expired = send_job()
    assert await desk.send(expired, TO, expired=True) == Refused("expired")
    assert sink.counts() == before
