"""Single bits of the stored ledger and of bundles, changed at random: each is found, and the right record named.

`LEDGER_CHANGES` is how many of each kind, some hundreds if it is not said.
"""

import asyncio
import datetime as dt
import os
import random
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, ReplaceOne

from evidencing import bundle_of, listed
from ledgering import KEY, KEYS, PUBLIC, audited, sequencer_of
from preklic_workers.evidence_scope import About
from preklic_workers.ledger.archive import read_archive
from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.bundle import ALTERED, INCOMPLETE, TRUE, report
from preklic_workers.ledger.parts import audit_parts
from preklic_workers.ledger.runs import dated_of, note_of, run_of
from preklic_workers.ledger.verify import Altered
from preklic_workers.ledger.witnessed import key_of
from preklic_workers.store import Act, Event
from preklic_workers.store.cosignatures import Kept
from storing import claimed, gated, grant, now, open_test_store, subject, withdraw
from witnessing import SigningWitness

CHANGES = int(os.environ.get("LEDGER_CHANGES", "200"))
OPTIONS = CodecOptions(tz_aware=True, tzinfo=dt.UTC)
WIDTHS = {"hashes": 32, "sums": 4}


async def written(store):
    """A ledger of four runs, with leaves about people and about nobody, a signed head behind three; a mail's id."""
    sequencer = sequencer_of(store)
    for turn in range(4):
        address = f"ana{turn}@primer.example"
        await grant(store, address)
        message = await claimed(store, subject(address))
        await gated(store, subject(address), message)
        await store.messages.settle(message, 1, "sent", relay="main", processor="Pošta", reply={"code": 250})
        await withdraw(store, address)
        await asyncio.gather(*(store.acts.record(Act("looked", "mojca", f"case {n}")) for n in range(5)))
        await sequencer.once()
        if turn < 3:
            await sequencer.checkpoint()
    return message


async def verified(runs, heads):
    """As `ledger verify` does, on documents that were read before."""

    async def read():
        for doc in sorted(runs, key=lambda doc: doc["_id"]):
            yield run_of(doc)

    notes = [note_of(doc) for doc in sorted(heads, key=lambda doc: doc["_id"])]
    dates = [dated_of({name: value for name, value in doc.items() if name != "note"}) for doc in heads]
    return await audit(read(), notes, KEYS, dates=dates)


def changed(doc, chance):
    """The document with one bit changed, of a value, of its kind or of a field's name; never one that says the same."""
    octets = bson.encode(doc)
    while True:
        place = chance.randrange(4, len(octets) - 1)
        flipped = octets[:place] + bytes([octets[place] ^ 1 << chance.randrange(8)]) + octets[place + 1 :]
        try:
            found = bson.decode(flipped, OPTIONS)
        except (bson.errors.BSONError, ValueError, OverflowError):
            continue  # no database holds that
        if isinstance(found.get("_id"), int) and bson.encode(found) != octets:
            return found


def names_of(before, after):
    """How the one who was changed may be called."""
    start = before["_id"]
    if "note" in before:
        return {f"the checkpoint of {one['_id']} leaves" for one in (before, after)}
    if start != after["_id"]:
        return {f"leaf {start}", f"leaf {after['_id']}"}
    run = {f"the run at leaf {start}"}
    name = next((name for name, value in before.items() if after.get(name) != value), None)
    if name is None or type(after.get(name)) is not type(before[name]):
        return run
    if name not in WIDTHS and not isinstance(before[name], list):
        return run
    odd = first_odd(before[name], after[name])
    leaf = {f"leaf {start + odd // WIDTHS.get(name, 1)}"}
    same_form = len(before[name]) == len(after[name]) and type(before[name][odd]) is type(after[name][odd])
    return leaf if same_form else leaf | run


def first_odd(before, after):
    pairs = enumerate(zip(before, after, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(before), len(after)))


@pytest.mark.attack(63, guard="preklic_workers.ledger.auditing:_follow")
@pytest.mark.attack(63, guard="preklic_workers.ledger.runs:Seals.good")
async def test_any_changed_bit_of_the_stored_ledger_is_found_and_its_record_named(store):
    await written(store)
    runs, heads = await store.mongo["ledger"].find({}), await store.mongo["checkpoints"].find({})
    assert (await verified(runs, heads)).size == heads[-1]["_id"] < runs[-1]["_id"] + len(runs[-1]["leaves"])
    chance = random.Random(63)
    for turn in range(CHANGES):
        before = chance.choice([*runs, *runs, *heads])
        after = changed(before, chance)
        there = [after if doc is before else doc for doc in [*runs, *heads]]
        with pytest.raises(Altered) as found:
            await verified(there[: len(runs)], there[len(runs) :])
        assert str(found.value).partition(":")[0] in names_of(before, after), (turn, str(found.value), before, after)


@pytest.mark.attack(63, guard="preklic_workers.ledger.runs:Seals.good")
async def test_the_same_through_mongodb_and_what_no_driver_reads(mongo_url, mongo_database):
    """On a database without validators: whoever changes the ledger has more than any role."""
    store = await open_test_store(mongo_url, mongo_database, validators=False)
    await written(store)
    chance = random.Random(65)
    with MongoClient(mongo_url) as client:
        ledger = client[mongo_database].get_collection("ledger", CodecOptions(RawBSONDocument))
        whole = bytes(list(ledger.find(sort=[("_id", 1)]))[1].raw)
        doc = bson.decode(whole, OPTIONS)
        drawn = [changed(doc, chance) for _ in range(9)]
        place = whole.index(b"\x09at\x00") + 4
        strange = whole.replace(b"acts:", b"acts\xff", 1), whole[:place] + b"\x7f" * 8 + whole[place + 8 :]
        asked = [(bson.encode(one), names_of(doc, one)) for one in drawn if one["_id"] == doc["_id"]]
        asked += [(one, {"the run behind the one at leaf 0"}) for one in strange]
        for octets, names in asked:
            ledger.delete_one({"_id": doc["_id"]})
            ledger.insert_one(RawBSONDocument(octets))
            with pytest.raises(Altered) as told:
                await audited(store)
            assert str(told.value).partition(":")[0] in names
        ledger.replace_one({"_id": doc["_id"]}, doc)
    await audited(store)
    store.close()


async def test_parts_that_are_verified_by_many_find_what_one_walk_finds(store, mongo_url, mongo_database, monkeypatch):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    for name, value in (("MONGO_URL", mongo_url), ("MONGO_DATABASE", mongo_database)):
        monkeypatch.setenv(f"PREKLIC_{name}", value)
    await written(store)
    chance, counted = random.Random(66), []

    async def by_parts():
        heads, pool = await store.ledger.checkpoints(), lambda: ThreadPoolExecutor(2)
        return await audit_parts(store.ledger, heads, KEYS, counted.append, size=8, pool_of=pool)

    assert await by_parts() == await audited(store)
    assert counted == [8, 8, 8, 8]
    await store.mongo.command({"collMod": "ledger", "validator": {}})
    for doc in await store.mongo["ledger"].find({}):
        for after in [one for one in (changed(doc, chance) for _ in range(3)) if one["_id"] == doc["_id"]]:
            await store.mongo["ledger"].bulk([ReplaceOne({"_id": doc["_id"]}, after)])
            told = [await found_by(audited(store)), await found_by(by_parts())]
            assert told[0] == told[1]
        await store.mongo["ledger"].bulk([ReplaceOne({"_id": doc["_id"]}, doc)])
        if doc["_id"] < 24:  # behind the last head, only what is there can be checked
            await store.mongo["ledger"].delete({"_id": doc["_id"]})
            assert await found_by(by_parts()) == await found_by(audited(store))
            await store.mongo["ledger"].insert(doc)


async def found_by(verifying):
    """The record that it names."""
    with pytest.raises(Altered) as told:
        await verifying
    return str(told.value).partition(":")[0]


def parts_of(octets):
    """The file that each octet of an archive belongs to, with what describes it there; `its directory` behind them."""
    with zipfile.ZipFile(BytesIO(octets)) as opened:
        listed = opened.infolist()
        ends = [one.header_offset for one in listed[1:]] + [opened.start_dir]
    found = []
    for one, end in zip(listed, ends, strict=True):
        found += [one.filename] * (end - len(found))
    return found + ["its directory"] * (len(octets) - len(found))


async def bundled(store):
    """A bundle with records of a batch and a cosignature, and the witness."""
    message, ana = await written(store), subject("ana3@primer.example")
    kinds = ("opened", "clicked")
    await store.events.record([Event(f"{message}|{kind}", message, ana, kind, "human", now()) for kind in kinds])
    await sequencer_of(store).once()
    await sequencer_of(store).checkpoint()
    head, witness = await store.ledger.stamps.newest_head(), SigningWitness(KEYS)
    line = witness.line(head.note).strip()
    await store.ledger.stamps.cosignatures.keep(Kept(head.size, line, witness.vkey, now()))
    return await bundle_of(store, About(record=message)), key_of(witness.vkey)


@pytest.mark.attack(63, guard="preklic_workers.ledger.archive:read_archive")
async def test_any_changed_bit_of_a_bundle_is_found_and_its_file_named(store):
    octets, _ = await bundled(store)
    parts, chance = parts_of(octets), random.Random(64)
    assert {part.partition("/")[0] for part in parts} >= {"records", "batches", "cosignatures"}
    # As many in what describes the files as in the files: it is the smaller part.
    described = [place for place, part in enumerate(parts) if part == "its directory"]
    for turn in range(CHANGES):
        place = chance.choice(described) if turn % 2 else chance.randrange(len(octets))
        code, lines = report(
            octets[:place] + bytes([octets[place] ^ 1 << chance.randrange(8)]) + octets[place + 1 :], [PUBLIC]
        )
        assert (code, lines[0].startswith("ALTERED: ")) == (ALTERED, True)
        assert parts[place] in lines[0], (place, lines[0])


@pytest.mark.attack(63, guard="preklic_workers.ledger.batched:check_batched")
@pytest.mark.attack(63, guard="preklic_workers.ledger.witnessed:check_cosignatures")
async def test_the_same_in_a_bundle_that_the_ledgers_own_key_packed_and_signed_anew(store):
    octets, witness = await bundled(store)
    files, chance = read_archive(octets), random.Random(67)
    assert report(listed(files, KEY), [PUBLIC], [witness])[0] == TRUE
    folders = ("records/", "batches/", "cosignatures/", "leaves/", "openings/", "proofs/")
    names = sorted(name for name in files if name.startswith(folders) and not name.endswith("README.txt"))
    for _ in range(CHANGES):
        name = chance.choice(names)
        changed = bytearray(files[name])
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        code, lines = report(listed(files | {name: bytes(changed)}, KEY), [PUBLIC], [witness])
        if name.startswith("cosignatures/") and code == INCOMPLETE:  # it does not say any more that this witness signed
            assert f"INCOMPLETE: no head in it is cosigned by {witness.name} with this key" in lines
            continue
        assert code == ALTERED, (name, lines)
        number = name.rpartition("/")[2].partition(".")[0]
        assert name in lines[0] or re.search(rf"(leaf|opening|proof) {number}\b", lines[0]), (name, lines[0])
