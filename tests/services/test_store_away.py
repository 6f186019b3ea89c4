import asyncio
import datetime as dt

import pytest

from preklic_stack.mongo import start_mongo
from preklic_workers.store import Claimed, GatePassed, GateRefused, Standalone, Unavailable
from preklic_workers.store.mongo import Mongo
from storing import claim_of, claimed, gated, grant, now, open_test_store, state, subject, withdraw
from waiting import auntil

ANA, BOR = "ana@primer.si", "bor@primer.si"


def test_a_server_without_a_replica_set_is_refused():
    mongo = Mongo("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=1", "preklic")
    with pytest.raises(Standalone, match="--replSet"):
        mongo.greet({"localTime": dt.datetime.now(dt.UTC)})
    mongo.greet({"localTime": dt.datetime.now(dt.UTC) + dt.timedelta(minutes=3), "setName": "rs0"})
    assert dt.timedelta(minutes=2.9) < mongo.ahead < dt.timedelta(minutes=3.1)
    mongo.close()


async def test_nobody_there_is_unavailable(free_port):
    with pytest.raises(Unavailable):
        await open_test_store(f"mongodb://127.0.0.1:{free_port}/?replicaSet=rs0", "preklic")


@pytest.mark.clause("P3")
async def test_what_was_acknowledged_is_there_after_a_kill_and_without_a_server_no_gate_opens(processes, tmp_path):
    mongo = await asyncio.to_thread(start_mongo, processes, tmp_path / "mongo")
    store = await open_test_store(mongo.url, "preklic")
    for address in (ANA, BOR):
        await grant(store, address)
    first, second = await claimed(store, subject(ANA)), await claimed(store, subject(BOR))
    passed = await gated(store, subject(ANA), first)
    no = await withdraw(store, BOR, at=now() + dt.timedelta(minutes=1))
    await store.messages.settle(first, 1, "sent")
    mongo.members[0].kill()

    for call in (
        store.messages.claim(claim_of(first, subject(ANA))),
        store.persons.read(subject(ANA)),
        gated(store, subject(BOR), second),
        withdraw(store, ANA),
    ):
        with pytest.raises(Unavailable):
            await call

    await asyncio.to_thread(mongo.revive, processes)
    await auntil(lambda: _answers(store), 30, "the store finds the server again")
    assert await state(store, first) == "sent"
    ana, bor = await store.persons.whole(subject(ANA)), await store.persons.whole(subject(BOR))
    assert isinstance(passed, GatePassed)
    assert [(one.message, one.seq) for one in ana.open] == [(first, passed.seq)]
    assert (bor.permissions["newsletter"].state, bor.permissions["newsletter"].seq) == ("withdrawn", no.seq)
    assert await gated(store, subject(BOR), second) == GateRefused("withdrawn")
    third = await store.messages.claim(claim_of(second[:-4] + "0000", subject(ANA)))
    assert third == Claimed(1)
    store.close()


async def _answers(store):
    try:
        await store.persons.read(subject(ANA))
    except Unavailable:
        return False
    return True
