"""The turn of the epoch: final erasure with real copies and the oplog; killed at every step; with workers running."""

import asyncio
import datetime as dt
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import bson
import pytest

from dumping import Dump, dump
from lawing import MOJCA, law_of
from preklic_shared.addresses import parse
from preklic_workers import holds, keyfiles
from preklic_workers.envelope import DataKey, Epochs, NoKey
from preklic_workers.holding import Holding
from preklic_workers.holds import Wanted
from preklic_workers.keydir import KeyDirError, load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.store import Store, key_copies, schema
from preklic_workers.store.acts import Acts
from preklic_workers.store.holders import Holders
from preklic_workers.store.key_copies import BadCopy
from preklic_workers.store.vault import COLLECTION, Vault, wrapped_of
from preklic_workers.turning import BACKUPS, PLAN, NotTurned, Turn, silent
from storing import HOUR, NEWS, Grant, new_id, now, open_test_store
from waiting import auntil

NOTHING_KEPT = frozenset()
PROOF = {"wording": "w", "source": "s", "method": "form"}


@dataclass
class Place:
    """A store with real key files: `root`, the directory outside MongoDB, and the names of both databases."""

    store: Store
    epochs: Epochs
    root: Path
    state: Path
    url: str
    database: str

    def turn(self, tell=silent, **more) -> Turn:
        return Turn(self.store, self.epochs, self.root, self.state, "test", tell, **more)

    def subject(self, address):
        return load_ring(self.root / "upkeep", "upkeep").blind.subject(parse(address))

    async def grant(self, address):
        grant = Grant(new_id(), self.subject(address), [NEWS], now(), PROOF, parse(address), confirmed=True)
        await self.store.grants.grant(grant)
        await self.store.persons.enrich(self.subject(address), "profile", {"name": address}, "form", now())

    async def opened(self, role="record"):
        """A store as a process of this role has it that starts now."""
        return await open_test_store(self.url, self.database, ring=load_ring(self.root / role, role))

    def files(self, group="contact"):
        return {int(path.name.split(".")[1]) for path in self.root.rglob(f"{group}.*.epoch")}


@pytest.fixture
async def place(mongo_url, mongo_database, tmp_path):
    root, state = tmp_path / "keys", tmp_path / "state"
    init_keys(root, dt.datetime.now(dt.UTC))
    state.mkdir(mode=0o700)
    ring = load_ring(root / "upkeep", "upkeep")
    store = await open_test_store(mongo_url, mongo_database, ring=ring)
    yield Place(store, ring.epochs, root, state, mongo_url, mongo_database)
    store.close()


async def readable(place, *addresses, role="record"):
    """The addresses and names that a fresh process reads."""
    opened = await place.opened(role)
    persons = [place.subject(address) for address in addresses]
    found = [(await opened.persons.address_of(one), await opened.persons.fields(one, "profile")) for one in persons]
    opened.close()
    return found == [(address, {"name": address}) for address in addresses]


def wrapped_in(value, person):
    """Every wrapped key of `person` that stands anywhere in a dump, as (group, epoch, octets)."""
    if isinstance(value, dict):
        if isinstance(value.get("_id"), dict) and value["_id"].get("p") == person and "wrapped" in value:
            yield value
        for each in value.values():
            yield from wrapped_in(each, person)
    elif isinstance(value, list):
        for each in value:
            yield from wrapped_in(each, person)


def contacts_in(value, person):
    """Every ciphertext of the person's address in a dump."""
    if isinstance(value, dict):
        if value.get("_id") == person and "contact" in value:
            yield bytes(value["contact"])
        for each in value.values():
            yield from contacts_in(each, person)
    elif isinstance(value, list):
        for each in value:
            yield from contacts_in(each, person)


def recovered(source, person, epochs):
    """The addresses that these keys open from a dump and its oplog."""
    found = []
    everything = {"docs": source.docs, "oplog": source.oplog} if isinstance(source, Dump) else source
    for doc in wrapped_in(everything, person):
        with suppress(NoKey):
            key = epochs.unwrap(wrapped_of(doc), person, doc["_id"]["g"])
            if doc["_id"]["g"] == "contact":
                found += [
                    key.decrypt(text, person, COLLECTION, "contact").decode()
                    for text in contacts_in(everything, person)
                ]
    return found


@pytest.mark.clause("U7", guard="preklic_workers.keyfiles:drop_epoch")
async def test_after_a_turn_yesterdays_dump_and_the_oplog_bring_no_erased_person_back(place):
    ana, bor, cene = "ana@primer.si", "bor@primer.si", "cene@primer.si"
    for address in (ana, bor, cene):
        await place.grant(address)
    held = Wanted("II P 12/2026", ("contact",), now() + HOUR, "a lawsuit")
    await holds.add(law_of(place.store), MOJCA, place.subject(cene), held)
    names = (place.database, f"{place.database}_keys")
    dumped = dump(place.url, *names)
    assert list(wrapped_in(dumped.oplog, place.subject(ana)))
    for address in (ana, cene):
        await place.store.persons.erase(place.subject(address), now(), lambda _person: NOTHING_KEPT)
    await holds.round_of(place.store, now())
    # Erased, and still not out of reach of who holds the dump: that is what the turn is for.
    assert set(recovered(dumped, place.subject(ana), place.epochs)) == {ana}
    turned = await place.turn().run()
    keys = load_ring(place.root / "upkeep", "upkeep").epochs
    for source in (dumped, dump(place.url, *names)):
        for address in (ana, cene):
            assert recovered(source, place.subject(address), keys) == []
            assert recovered(source, place.subject(address), place.epochs) == []
    assert await place.store.holds.fields(place.subject(cene), "contact") == {"address": cene}
    assert place.files() == {2}
    assert await readable(place, bor)
    # Whoever survived comes back: the old dump's records, with the keys of the backup that the turn has tried.
    [copy] = key_copies.copies(place.state / BACKUPS)
    assert copy.name == turned.backup
    survived = list(key_copies.read(place.state / BACKUPS, copy))
    assert recovered({"docs": dumped.docs, "keys": survived}, place.subject(bor), keys) == [bor]
    assert place.subject(ana) not in {doc["_id"]["p"] for doc in survived}


@pytest.mark.clause("U13", guard="preklic_workers.keyfiles:drop_epoch")
async def test_after_a_release_and_a_turn_no_dump_opens_what_was_held(place):
    """A hold's key is a key like others: whoever kept a dump from while it stood has nothing that opens it."""
    ana, store = place.subject("ana@primer.si"), place.store
    await place.grant("ana@primer.si")
    wanted = Wanted("II P 12/2026", ("contact",), now() + HOUR, "a lawsuit")
    made = await holds.add(law_of(store), MOJCA, ana, wanted)
    await store.persons.erase(ana, now(), lambda _person: NOTHING_KEPT)
    await holds.round_of(store, now())
    names = (place.database, f"{place.database}_keys")
    held = dump(place.url, *names)
    await holds.release_signed(law_of(store), MOJCA, made.id, "judged")
    (doc,) = {doc["_id"]["h"]: doc for doc in wrapped_in(held.docs, ana)}.values()
    assert store.vault.opens(doc)  # till the epoch turns
    await place.turn().run()
    for source in (held, dump(place.url, *names)):
        for each in wrapped_in({"docs": source.docs, "oplog": source.oplog}, ana):
            assert isinstance(store.vault.opened(each), NoKey)


class Killed(Exception):
    """Here the process dies."""


def killer(at):
    """Dies at the `at`-th word of progress; without it, counts them."""
    told = []

    def tell(step, _done, _total):
        told.append(step)
        if len(told) == at:
            raise Killed

    return told, tell


@pytest.mark.attack(62, guard="preklic_workers.keyfiles:reach")
async def test_a_turn_that_is_killed_at_any_step_loses_nobody_and_goes_on(place):
    people = [f"p{number}@primer.si" for number in range(3)]
    for address in people:
        await place.grant(address)
    told, tell = killer(0)
    await place.turn(tell).run()
    assert len(set(told)) == 8
    epoch = 2
    for at in sorted({told.index(step) + 1 for step in told} | {len(told)}):
        _, tell = killer(at)
        with pytest.raises(Killed):
            await place.turn(tell).run()
        assert await readable(place, *people), told[at - 1]
        left = place.files()
        turned = await place.turn().run()
        assert place.files() == {turned.numbers["contact"]}
        # It goes on with the epoch that it had begun, unless all was done but the telling.
        epoch += 1
        assert turned.numbers["contact"] == epoch + (at == len(told)), (told[at - 1], left)
        epoch = turned.numbers["contact"]
    assert await readable(place, *people)
    assert not (place.state / PLAN).exists()
    assert len(key_copies.copies(place.state / BACKUPS)) == 1


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (keyfiles, "write_new", 2),
        (keyfiles, "write_new", 11),
        (keyfiles, "drop_epoch", 4),
        (Vault, "rewrap", 2),
        (key_copies, "prove", 1),
        (Acts, "record", 1),
    ],
)
async def test_a_turn_that_is_killed_inside_a_step_goes_on(place, monkeypatch, owner, name, call):
    await place.grant("ana@primer.si")
    original, calls = getattr(owner, name), 0

    def dying(*arguments):
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return original(*arguments)

    monkeypatch.setattr(owner, name, dying)
    with pytest.raises(Killed):
        await place.turn().run()
    assert await readable(place, "ana@primer.si")
    monkeypatch.undo()
    assert (await place.turn().run()).numbers["contact"] == 2
    assert place.files() == {2}
    assert await readable(place, "ana@primer.si")


@pytest.mark.attack(62, guard="preklic_workers.envelope:Epochs.refresh")
async def test_workers_go_on_while_the_epoch_turns_and_forget_the_old_key(place):
    await place.grant("ana@primer.si")
    worker = await place.opened()
    epochs = worker.vault._epochs
    holding = Holding("record", epochs, Holders(worker.mongo), every=0.05)
    await holding.start()
    reads = 0

    async def reading():
        nonlocal reads
        while True:
            assert await worker.persons.address_of(place.subject("ana@primer.si")) == "ana@primer.si"
            reads += 1

    task = asyncio.create_task(reading())
    await auntil(Holders(worker.mongo).live, what="the worker says what it holds")
    await auntil(lambda: reads, what="it opens with the old key")
    old = epochs.keys["contact"][1]
    assert old in epochs._ciphers
    await place.turn(patience=5).run()
    await auntil(lambda: epochs.numbers()["contact"] == [2], what="it forgets the old key")
    assert old not in epochs._ciphers
    assert not task.done()
    task.cancel()
    assert reads > 10

    async def told():
        return [holder.epochs["contact"] for holder in await Holders(worker.mongo).live()] == [[2]]

    await auntil(told, what="it says so")
    await holding.stop()
    assert await Holders(worker.mongo).live() == []
    worker.close()


async def test_a_process_that_lacks_the_new_key_holds_the_turn_up_and_nothing_is_destroyed(place):
    await place.grant("ana@primer.si")
    await Holders(place.store.mongo).report("send@far:1", "send", "far", {"contact": [1], "profile": [1]})
    with pytest.raises(NotTurned, match=r"send@far:1 has no contact\.2\.epoch"):
        await place.turn(patience=0).run()
    assert place.files() == {1, 2}
    assert await readable(place, "ana@primer.si")
    await Holders(place.store.mongo).report("send@far:1", "send", "far", {"contact": [1, 2], "profile": [1, 2]})
    assert (await place.turn().run()).numbers["contact"] == 2
    assert place.files() == {2}


@pytest.mark.attack(62, guard="preklic_workers.store.floors:raise_floors")
async def test_mongodb_refuses_a_key_of_the_old_epoch_from_a_worker_that_slept(place):
    asleep = await place.opened()
    assert asleep.vault._epochs.numbers()["contact"] == [1]
    deaf = replace(load_ring(place.root / "record", "record"), epochs=Epochs(dict(asleep.vault._epochs.keys)))
    deaf_store = await open_test_store(place.url, place.database, ring=deaf)
    await place.turn().run()
    # One that may read its directory wraps anew; one that may not is refused: no key lands under a dead epoch.
    await asleep.vault.key_or_new("a" * 43, "contact")
    with pytest.raises(Exception, match="failed validation"):
        await deaf_store.vault.key_or_new("b" * 43, "contact")
    assert {(group, epoch) for group, epoch, _ in await place.store.vault.counts()} == {("contact", 2)}
    assert await schema.check(place.store.mongo) == []
    await schema.apply(place.store.mongo)
    with pytest.raises(Exception, match="failed validation"):
        await deaf_store.vault.key_or_new("c" * 43, "contact")
    asleep.close()
    deaf_store.close()


async def test_two_groups_are_wrapped_anew_at_the_same_time_and_no_more(place, monkeypatch):
    await place.grant("ana@primer.si")
    rewrap, under_way, most, both = Vault.rewrap, set(), 0, asyncio.Event()

    async def together(vault, group):
        nonlocal most
        under_way.add(group)
        most = max(most, len(under_way))
        if len(under_way) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 20)
        count = await rewrap(vault, group)
        under_way.discard(group)
        return count

    monkeypatch.setattr(Vault, "rewrap", together)
    await place.turn().run()
    assert most == 2
    assert place.files() == {2}


@pytest.mark.attack(57, guard="preklic_workers.envelope:bound_to")
async def test_wrapped_keys_that_were_swapped_stop_the_turn_before_anything_is_destroyed(place):
    for name in ("ana", "bor", "cene"):
        await place.grant(f"{name}@primer.si")
    keys = place.store.mongo.keys()
    bor = await keys.find_one({"_id": {"p": place.subject("bor@primer.si"), "g": "contact"}})
    ana = {"_id": {"p": place.subject("ana@primer.si"), "g": "contact"}}
    before = await keys.find_one(ana)
    await keys.change(ana, {"$set": {"wrapped": bor["wrapped"]}})
    with pytest.raises(NotTurned, match="1 wrapped keys of contact do not open"):
        await place.turn().run()
    assert place.files() == {1, 2}
    assert await place.store.vault.older("profile") == 0  # the others were done to their end all the same
    assert await readable(place, "bor@primer.si", "cene@primer.si")
    await keys.change(ana, {"$set": {"wrapped": before["wrapped"], "epoch": 2}})
    await keys.change(ana, {"$set": {"wrapped": (await wrapped_again(place, before)), "epoch": 2}})
    await place.turn().run()
    assert await readable(place, "ana@primer.si", "bor@primer.si", "cene@primer.si")


async def wrapped_again(place, doc):
    """The same key under the new epoch, as a restore from elsewhere would bring it."""
    person, group = doc["_id"]["p"], doc["_id"]["g"]
    key = place.epochs.unwrap(wrapped_of(doc), person, group)
    assert isinstance(key, DataKey)
    return place.epochs.wrap(key, person, group).wrapped


@pytest.mark.clause("U7", guard="preklic_workers.store.key_copies:prove")
async def test_a_backup_that_does_not_come_back_destroys_nothing(place, monkeypatch):
    await place.grant("ana@primer.si")
    written = key_copies.write

    async def spoiled(*arguments):
        """The disk keeps other octets than were written, and a digest of those."""
        copy = await written(*arguments)
        path = place.state / BACKUPS / f"{copy.name}.bson"
        docs = bson.decode_all(path.read_bytes())
        docs[0]["wrapped"] = docs[0]["wrapped"][:-1] + b"?"
        data = b"".join(bson.encode(doc) for doc in docs)
        path.write_bytes(data)
        return copy

    monkeypatch.setattr(key_copies, "write", spoiled)
    with pytest.raises(BadCopy, match="not what its manifest says"):
        await place.turn().run()
    assert place.files() == {1, 2}
    assert await readable(place, "ana@primer.si")
    monkeypatch.undo()
    await place.turn().run()
    assert place.files() == {2}
    [file] = (place.state / BACKUPS).glob("*.bson")
    assert file.stat().st_mode & 0o777 == 0o600


async def test_one_turn_at_a_time_and_never_without_a_newer_key(place):
    with pytest.raises(KeyDirError, match="no newer epoch"):
        keyfiles.drop_epoch(place.root, "contact", 1)
    (place.root / "send" / "contact.1.epoch").rename(place.root / "send" / ".gone")
    with pytest.raises(KeyDirError, match="is missing"):
        await place.turn().run()
