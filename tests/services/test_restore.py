"""Yesterday's dump comes back: nothing goes out before erasures, revocations and sends since are dealt with."""

import asyncio
import datetime as dt
import json
from dataclasses import dataclass

import pytest

from commanding import Commands
from dumping import dump, restore
from lawing import MOJCA, law_of
from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.jobs import ACTORS
from preklic_shared.publisher import Publisher
from preklic_shared.settings import Settings
from preklic_workers import holds
from preklic_workers.custody import Custody
from preklic_workers.holds import Wanted
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.roles import Worker
from preklic_workers.store import Ended, GateBusy, GatePassed, GateRefused, Store
from preklic_workers.tombstones import FILE
from preklic_workers.turning import Turn
from queueing import publication, revoke
from sending import send_job
from storing import HOUR, NEWS, OFFERS, Grant, claim_of, claimed, gated, now, open_test_store, put_persons, state
from waiting import auntil

ANA, BOR, CENE, DANA = (f"{name}@primer.si" for name in ("ana", "bor", "cene", "dana"))
PROOF = {"wording": "w", "source": "s", "method": "form"}


@dataclass
class Place:
    """A whole installation without its processes: keys, state, broker, database."""

    settings: Settings
    store: Store
    custody: Custody
    queues: object

    def subject(self, address):
        return load_ring(self.settings.key_dir / "upkeep", "upkeep").blind.subject(parse(address))

    async def grant(self, *addresses):
        for address in addresses:
            grant = Grant(new_id(), self.subject(address), [NEWS, OFFERS], now(), PROOF, parse(address), confirmed=True)
            await self.store.grants.grant(grant)

    async def publish(self, job, actor):
        async with Publisher(self.settings.amqp_url) as publisher:
            await publisher.publish(publication(job, actor))
        return job

    async def no(self, address, **more):
        person = await self.store.persons.whole(self.subject(address))
        return await self.publish(revoke(person=person.pid.hex(), **more), "revoke")

    async def mail(self, address, *, sent):
        """A mail that a worker took from its queue and sent, or only took."""
        job = await self.publish(send_job(), "send_bulk")
        self.queues.take(ACTORS["send_bulk"][1])
        await self.store.messages.claim(claim_of(job.id, self.subject(address)))
        if sent:
            await self.store.messages.settle(job.id, 1, "sent")
        else:
            await self.store.messages.settle(job.id, 1, "deferred", reason="deferred")
        return job.id

    async def round(self):
        await self.custody.mark()
        await self.custody.entomb()

    async def gate(self, address, store=None):
        store = store or self.store
        subject = self.subject(address)
        return await gated(store, subject, await claimed(store, subject))

    def dump(self):
        return dump(self.settings.mongo_url, *self.names)

    @property
    def names(self):
        return self.settings.mongo_database, f"{self.settings.mongo_database}_keys"


@pytest.fixture
async def place(url, queues, mongo_url, mongo_database, tmp_path):
    root = tmp_path / "keys"
    init_keys(root, dt.datetime.now(dt.UTC))
    settings = Settings(
        amqp_url=url, mongo_url=mongo_url, mongo_database=mongo_database, key_dir=root, state_dir=tmp_path / "state"
    )
    ring = load_ring(root / "upkeep", "upkeep")
    store = await open_test_store(mongo_url, mongo_database, ring=ring)
    made = Place(settings, store, Custody(settings, store, ring), queues)
    await made.round()
    yield made
    store.close()


@pytest.fixture
def preklic(place, monkeypatch, capsys):
    config = place.settings
    environment = {
        "PREKLIC_AMQP_URL": config.amqp_url,
        "PREKLIC_MONGO_URL": config.mongo_url,
        "PREKLIC_MONGO_DATABASE": config.mongo_database,
        "PREKLIC_KEY_DIR": str(config.key_dir),
        "PREKLIC_STATE_DIR": str(config.state_dir),
    }
    run = Commands(monkeypatch, capsys, environment)

    async def ran(*arguments):
        code, out, err = await asyncio.to_thread(run, *arguments)
        return code, json.loads(out) if out else err

    return ran


@pytest.mark.attack(60, guard="preklic_workers.incarnation:agrees")
@pytest.mark.clause("U7", guard="preklic_workers.store.restored:buried")
async def test_a_restored_dump_stays_closed_until_all_three_are_done_and_nobody_erased_comes_back(place, preklic):
    await place.grant(ANA, BOR, CENE, DANA)
    early = await place.mail(CENE, sent=False)
    await place.round()
    yesterday = place.dump()
    await place.round()
    worker = await Worker.open("revoke", place.settings)
    await worker.start()
    gone, no = await place.no(ANA, erase=True), await place.no(BOR, purposes=("newsletter",))
    for job in (gone, no):
        await auntil(lambda job=job: place.store.messages.state(job.id), 20, "the no is applied")
    await worker.stop()
    late = await place.mail(CENE, sent=True)
    await place.store.messages.settle(early, 1, "sent")
    await place.round()
    assert place.custody.good
    assert isinstance(await place.gate(DANA), GatePassed)
    restore(place.settings.mongo_url, yesterday)
    assert await place.store.persons.address_of(place.subject(ANA)) == ANA
    # A worker that ran through it sees at once that the mark went back, before anybody tells it.
    place.store.controls._read_at = float("-inf")
    assert await place.gate(DANA) == GateBusy("stopped:restored")
    await place.round()
    assert not place.custody.good
    fresh = await open_test_store(place.settings.mongo_url, place.settings.mongo_database)
    assert await place.gate(DANA, fresh) == GateBusy("stopped:restored")
    assert (await preklic("go", "--all", "--reason", "haste", "--json"))[0] == 0
    assert await place.gate(DANA, fresh) == GateBusy("stopped:restored")
    code, told = await preklic("doctor", "--json")
    assert code == 1
    assert {row["mend"] for row in told if row["check"] == "restores"} == {"preklic restore-check"}
    # Nobody applies revocations yet: the erasure is done, and mail stays closed.
    code, told = await preklic("restore-check", "--patience", "1", "--json")
    assert (code, told["opened"], told["erased"]) == (1, False, 1)
    assert "revocations are not applied" in told["left"][0]
    assert (await place.store.persons.whole(place.subject(ANA))).erased
    # What other collections of the copy hold of the person goes with it.
    assert await place.store.proofs.opened(place.subject(ANA)) == []
    assert await place.gate(DANA, fresh) == GateBusy("stopped:restored")
    worker = await Worker.open("revoke", place.settings)
    await worker.start()
    code, told = await preklic("restore-check", "--reason", "dump of yesterday", "--json")
    assert (code, told["opened"], told["left"], told["revocations"]) == (0, True, [], 2)
    await worker.stop()
    fresh.controls._read_at = float("-inf")
    assert isinstance(await place.gate(DANA, fresh), GatePassed)
    assert await place.gate(BOR, fresh) == GateRefused("withdrawn")
    assert isinstance(await place.gate(ANA, fresh), GateRefused)
    assert await place.store.persons.address_of(place.subject(ANA)) is None
    assert not [doc for doc in await place.store.mongo.keys().find({}) if doc["_id"]["p"] == place.subject(ANA)]
    for job in (early, late):
        assert await state(place.store, job) == "in_doubt"
        assert isinstance(await place.store.messages.claim(claim_of(job, place.subject(CENE))), Ended)
    await place.round()
    assert place.custody.good
    assert await preklic("restore-check", "--json") == (0, told | REST)
    assert [act.kind for act in await place.store.acts.of(kind="restore_checked")] == ["restore_checked"] * 2
    fresh.close()


REST = {"restored": False, "opened": False, "since": None, "keys": 0, "tombstones": 0, "erased": 0}
REST |= {"revocations": 0, "doubts": 0, "left": []}


async def test_survivors_of_a_dump_from_before_the_turn_open_with_the_keys_of_its_backup(place, preklic):
    await place.grant(ANA, BOR)
    yesterday = place.dump()
    await place.round()
    await place.store.persons.erase(place.subject(ANA), now(), lambda _person: frozenset())
    await place.round()
    state_dir, root = place.settings.state_dir, place.settings.key_dir
    ring = load_ring(root / "upkeep", "upkeep")
    await Turn(place.store, place.store.vault._epochs, root, state_dir, "test").run()
    restore(place.settings.mongo_url, yesterday)
    await place.round()
    code, told = await preklic("restore-check", "--json")
    assert (code, told["erased"], told["opened"], told["keys"]) == (1, 1, False, 2)
    assert "1 wrapped keys are of destroyed epochs" not in str(told["left"])
    fresh = await open_test_store(place.settings.mongo_url, place.settings.mongo_database, ring=ring)
    assert await place.store.persons.address_of(place.subject(BOR)) == BOR
    assert await place.store.persons.address_of(place.subject(ANA)) is None
    fresh.close()


@pytest.mark.clause("U13", guard="preklic_workers.store.restored:Restored.put_keys")
async def test_what_a_hold_keeps_opens_after_a_dump_from_before_its_erasure_and_the_turn(place, preklic):
    """The dump has the person's own keys, which nothing opens any more; the backup has them under the hold's."""
    await place.grant(ANA)
    ana, law = place.subject(ANA), law_of(place.store)
    await holds.add(law, MOJCA, ana, Wanted("II P 12/2026", ("contact", "evidence"), now() + HOUR, "a lawsuit"))
    yesterday = place.dump()
    await place.round()
    await place.store.persons.erase(ana, now(), lambda _person: frozenset())
    await holds.round_of(place.store, now())
    await place.round()
    state_dir, root = place.settings.state_dir, place.settings.key_dir
    await Turn(place.store, place.store.vault._epochs, root, state_dir, "test").run()
    assert await place.store.holds.fields(ana, "contact") == {"address": ANA}
    restore(place.settings.mongo_url, yesterday)
    await place.round()
    await preklic("restore-check", "--json")
    for _ in range(2):
        await holds.round_of(place.store, now())
    assert (await place.store.persons.whole(ana)).erased
    assert await place.store.holds.fields(ana, "contact") == {"address": ANA}
    assert [row["purpose"] for row in await place.store.proofs.opened(ana)] == ["newsletter", "offers"]
    assert [doc["_id"]["g"] for doc in await place.store.mongo.keys().find({"_id.p": ana})] == ["hold"]
    await Turn(place.store, place.store.vault._epochs, root, state_dir, "test").run()
    assert await place.store.holds.fields(ana, "contact") == {"address": ANA}


async def test_lost_tombstones_keep_it_closed_unless_somebody_answers_for_that(place, preklic):
    await place.grant(ANA)
    await place.store.persons.erase(place.subject(ANA), now(), lambda _person: frozenset())
    await place.round()
    await place.round()
    (place.settings.state_dir / FILE).unlink()
    custody = Custody(place.settings, place.store, load_ring(place.settings.key_dir / "upkeep", "upkeep"))
    await custody.mark()
    await custody.entomb()
    assert not custody.good
    assert not (place.settings.state_dir / FILE).exists()
    code, told = await preklic("restore-check", "--json")
    assert (code, told["opened"]) == (1, False)
    assert "there are no tombstones" in told["left"][0]
    assert (await preklic("restore-check", "--accept"))[0] == 2
    code, told = await preklic("restore-check", "--accept", "--reason", "disk lost, case 18", "--json")
    assert (code, told["opened"]) == (0, True)
    for _ in range(2):
        await custody.mark()
        await custody.entomb()
    assert custody.good
    assert (place.settings.state_dir / FILE).read_text().split()[1] == place.subject(ANA)


async def test_each_erasure_is_told_once_and_a_file_that_begins_gets_all(place):
    people = [f"{number:043d}" for number in range(3)]
    await put_persons(place.store, people, {"newsletter": "granted"})
    for person in people[:2]:
        await place.store.persons.erase(person, now(), lambda _person: frozenset())
    await place.round()
    await place.round()
    lines = (place.settings.state_dir / FILE).read_text().splitlines()
    assert sorted(line.split()[1] for line in lines) == people[:2]
    assert await place.store.mongo["persons"].count({"untold": True}) == 0
    (place.settings.state_dir / FILE).unlink()
    (place.settings.state_dir / "incarnation").unlink()
    await place.store.mongo["controls"].delete({"_id": "incarnation"})
    custody = Custody(place.settings, place.store, load_ring(place.settings.key_dir / "upkeep", "upkeep"))
    await custody.mark()
    await custody.entomb()
    lines = (place.settings.state_dir / FILE).read_text().splitlines()
    assert sorted(line.split()[1] for line in lines) == people[:2]
