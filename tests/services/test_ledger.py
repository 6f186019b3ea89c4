"""The ledger on a real store: nothing that was recorded is missing, twice or changed; what was changed is named."""

import asyncio
import contextlib
import datetime as dt
import random

import pytest
from pymongo import DeleteOne, UpdateOne

from lawing import MOJCA, law_of
from ledgering import KEYS, NAME, Dying, audited, sequencer_of
from preklic_shared.ids import new_id
from preklic_workers import holds
from preklic_workers.holds import Wanted
from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.leaves import Opening, leaf
from preklic_workers.ledger.verify import Altered, check_opening, leaf_hash, read_canonical
from preklic_workers.store import Act, Timed, Unavailable
from preklic_workers.store.ledger import LedgerStore
from storing import HOUR, claim_of, claimed, gated, grant, now, put_persons, subject, withdraw


async def acted(store, count: int) -> None:
    await asyncio.gather(*(store.acts.record(Act("looked", "mojca", f"case {n}")) for n in range(count)))


async def all_leaves(store) -> list[bytes]:
    return [one async for run in store.ledger.runs() for one in run.leaves]


async def test_a_mails_whole_way_is_in_the_ledger_with_openings_that_fit(store):
    ana = subject("ana@primer.example")
    await grant(store, "ana@primer.example")
    message = await claimed(store, ana)
    await gated(store, ana, message)
    await store.messages.settle(message, 1, "sent", relay="main", processor="Pošta", reply={"code": 250})
    await store.messages.settle(message, 1, "sent", relay="main")
    await withdraw(store, "ana@primer.example")
    sequencer = sequencer_of(store)
    assert await sequencer.once() == await sequencer.checkpoint()
    kinds = [read_canonical(one, "it")["kind"] for one in await all_leaves(store)]
    assert sorted(kinds) == ["mail.sent", "permission.granted", "withdrawal.closed"]
    assert (await audited(store)).size == 3
    opened = {}
    (run,) = [one async for one in store.ledger.runs(ana)]
    for place, opening in (await store.ledger.opened(run, range(run.end))).items():
        found = read_canonical(run.leaves[place], "it")
        check_opening(found, opening.salt, opening.content, f"leaf {place}")
        opened[found["kind"]] = opening.content
    sent = opened["mail.sent"]
    assert (sent["of"], sent["person"], sent["entry"]["reply"]) == (message, ana, {"code": 250})
    assert sent["record"]["purpose"] == "newsletter"
    assert await store.ledger.entries.riding() == []
    assert await sequencer.once() == 0


async def test_what_a_leaf_says_in_the_clear_names_nobody(store):
    await grant(store, "ana@primer.example")
    await sequencer_of(store).once()
    (octets,) = await all_leaves(store)
    assert subject("ana@primer.example").encode() not in octets
    assert set(read_canonical(octets, "it")) == {"at", "commitment", "id", "kind", "v"}
    (sealed,) = (await store.ledger.last()).openings
    assert b"newsletter" not in sealed


async def test_after_an_erasure_the_chain_verifies_and_the_opening_is_gone(store):
    ana = subject("ana@primer.example")
    await grant(store, "ana@primer.example")
    sequencer = sequencer_of(store)
    await sequencer.once()
    await store.vault.destroy(ana)
    await sequencer.checkpoint()
    assert await store.ledger.opened(await store.ledger.last(), [0]) == {0: None}
    assert (await audited(store)).size == 1


async def test_a_mail_that_waited_and_was_cancelled_is_in_the_ledger_with_who_did_it(store):
    ana, message = subject("ana@primer.example"), new_id()
    await grant(store, "ana@primer.example")
    later = store.mongo.now() + HOUR
    mail = Timed(message, ana, "newsletter", "send_bulk", b"sealed", later)
    await store.timed.put(claim_of(message, ana), mail)
    await store.timed.cancel(ana, ["newsletter"], "the no")
    await sequencer_of(store).once()
    run = await store.ledger.last()
    opened = (await store.ledger.opened(run, range(run.end))).values()
    told = [one.content["entry"] for one in opened if one.content["of"] == message]
    assert [(entry["what"], entry.get("by")) for entry in told] == [("scheduled", None), ("cancelled", "the no")]


@pytest.mark.attack(57, guard="preklic_workers.store.ledger:LedgerStore.seal")
async def test_a_key_that_was_altered_keeps_no_other_leaf_from_its_place(store):
    for name in ("ana", "boris"):
        await grant(store, f"{name}@primer.example")
    ana = {"_id": {"p": subject("ana@primer.example"), "g": "evidence"}}
    await store.mongo.keys().bulk([UpdateOne(ana, {"$set": {"wrapped": bytes(60)}})])
    assert await sequencer_of(store).once() == 2
    run = await store.ledger.last()
    assert sorted(map(bool, run.openings)) == [False, True]
    assert (await audited(store)).size == 2


class Meanwhile:
    """A vault that does something in the moment before it makes keys, and may die behind that."""

    def __init__(self, vault, work, *, dies=False, before="many_or_new") -> None:
        self._vault, self._work, self._dies, self._before = vault, work, dies, before

    def __getattr__(self, name):
        return getattr(self._vault, name)

    async def keys_of(self, owners):
        if self._before == "keys_of":
            await self._work()
        return await self._vault.keys_of(owners)

    async def many_or_new(self, known, fresh=()):
        if self._before == "many_or_new":
            await self._work()
        found = await self._vault.many_or_new(known, fresh)
        if self._dies:
            raise Unavailable("it died")
        return found


@pytest.mark.clause("U7", guard="preklic_workers.store.ledger:LedgerStore._forget")
@pytest.mark.parametrize("dies", [False, True])
async def test_an_erasure_in_the_moment_when_an_opening_is_sealed_wins(emptied_store, dies):
    store, ana = emptied_store, subject("ana@primer.example")
    await put_persons(store, [ana], {"newsletter": "granted"})
    await store.acts.record(Act("looked", "mojca", "case 7", person=ana))

    async def erased():
        assert await store.erasures.erase(new_id(), ana, now(), lambda _: frozenset())

    meeting = LedgerStore(store.mongo, Meanwhile(store.vault, erased, dies=dies))
    with pytest.raises(Unavailable) if dies else contextlib.nullcontext():
        await sequencer_of(store, meeting).once()
    assert await store.vault.groups(ana) == ({"evidence"} if dies else frozenset())
    await sequencer_of(store).once()  # whoever comes next takes away what the dead one left
    assert await store.vault.groups(ana) == frozenset()
    run = await store.ledger.last()
    assert (run.end, set((await store.ledger.opened(run, range(run.end))).values())) == (1, {None})


@pytest.mark.clause("U13", guard="preklic_workers.store.ledger:LedgerStore._forget")
async def test_an_erasure_under_a_hold_in_that_moment_leaves_no_own_key(emptied_store):
    """What is sealed then opens for the hold, and with its key alone."""
    store, ana = emptied_store, subject("ana@primer.example")
    await grant(store, "ana@primer.example")
    wanted = Wanted("II P 12/2026", ("contact", "evidence"), now() + HOUR, "a lawsuit")
    await holds.add(law_of(store), MOJCA, ana, wanted)

    async def erased():
        assert await store.erasures.erase(new_id(), ana, now(), lambda _: frozenset())

    meeting = LedgerStore(store.mongo, Meanwhile(store.vault, erased, before="keys_of"))
    await sequencer_of(store, meeting).once()
    assert await store.vault.groups(ana) == frozenset()
    await holds.round_of(store, now())
    assert [doc["_id"]["g"] for doc in await store.mongo.keys().find({"_id.p": ana})] == ["hold"]
    run = await store.ledger.last()
    assert None not in (await store.ledger.opened(run, range(run.end))).values()


async def test_an_entry_that_says_an_earlier_time_is_found_a_little_later(emptied_store, monkeypatch):
    store = emptied_store
    sequencer = sequencer_of(store)
    assert await sequencer.once() == 0
    early = now() - HOUR
    act = {"_id": new_id(), "kind": "looked", "at": early, "by": "mojca", "why": "x"}
    await store.mongo["acts"].insert(act | {"leaves": [{"at": early, "what": "looked"}]})
    assert await sequencer.once() == 0
    monkeypatch.setattr(store.mongo, "ahead", store.mongo.ahead + dt.timedelta(seconds=11))
    assert await sequencer.once() == 1


@pytest.mark.attack(64, guard="preklic_workers.store.ledger:LedgerStore.append")
async def test_a_sequencer_that_dies_at_any_write_leaves_no_gap_no_fork_and_nothing_twice(emptied_store):
    store, chance = emptied_store, random.Random(7)
    written = 0
    for turn in range(100):
        await acted(store, 3)
        written += 3
        dying = Dying(store.ledger, chance.randint(1, 5), after=turn % 2 == 0)
        sequencer = sequencer_of(store, dying)
        try:
            await sequencer.once()
            await acted(store, 2)
            written += 2
            await sequencer.once()
            await sequencer.checkpoint()
        except Unavailable:
            assert dying.left == 0
    await sequencer_of(store).once()
    await sequencer_of(store).checkpoint()
    ids = [read_canonical(one, "it")["id"] for one in await all_leaves(store)]
    assert len(ids) == len(set(ids)) == await store.mongo["acts"].count({}) == written
    assert (await audited(store)).size == len(ids)


@pytest.mark.attack(64, guard="preklic_workers.store.ledger:LedgerStore.append")
async def test_of_two_sequencers_at_once_one_wins_and_nothing_forks(emptied_store):
    store = emptied_store
    both = [sequencer_of(store), sequencer_of(store)]
    for _ in range(20):
        await acted(store, 10)
        await asyncio.gather(*(one.once() for one in both))
        await asyncio.gather(*(one.checkpoint() for one in both))
    ids = [read_canonical(one, "it")["id"] for one in await all_leaves(store)]
    assert len(ids) == len(set(ids)) == 200
    assert (await audited(store)).size == 200


@pytest.fixture
async def filled(emptied_store):
    """A ledger of 40 leaves in four runs, a signed head behind each."""
    sequencer = sequencer_of(emptied_store)
    for _ in range(4):
        await acted(emptied_store, 10)
        await sequencer.once()
        await sequencer.checkpoint()
    return emptied_store


def edited(leaves, place):
    return [*leaves[:place], leaves[place].replace(b'"kind":"act.', b'"kind":"axt.'), *leaves[place + 1 :]]


def reordered(leaves, place):
    return [*leaves[:place], leaves[place + 1], leaves[place], *leaves[place + 2 :]]


def deleted(leaves, place):
    return [*leaves[:place], *leaves[place + 1 :]]


def inserted(leaves, place):
    return [*leaves[:place], leaves[place].replace(b'"act.', b'"act.x'), *leaves[place:]]


@pytest.mark.attack(63, guard="preklic_workers.ledger.auditing:_follow")
@pytest.mark.parametrize("change", [edited, reordered, deleted, inserted])
@pytest.mark.parametrize("with_hashes", [False, True])
async def test_a_leaf_that_was_changed_is_named(filled, change, with_hashes):
    doc = await filled.mongo["ledger"].find_one({"_id": 20})
    leaves = change([bytes(one) for one in doc["leaves"]], 5)
    fields = {"leaves": leaves} | ({"hashes": b"".join(map(leaf_hash, leaves))} if with_hashes else {})
    await filled.mongo["ledger"].bulk([UpdateOne({"_id": 20}, {"$set": fields})])
    # Who changes the hashes too hides which leaf it was, not between which two signatures.
    expected = (
        "^leaf 25: (altered|missing|inserted)"
        if not with_hashes
        else "^leaf (29|30|31): |^leaves 20 to 29: |^the run at leaf 20: "
    )
    with pytest.raises(Altered, match=expected):
        await audited(filled)


@pytest.mark.attack(63, guard="preklic_workers.ledger.auditing:_follow")
async def test_a_run_that_is_gone_and_a_tail_that_was_cut_off_are_named(filled):
    await filled.mongo["ledger"].bulk([DeleteOne({"_id": 30})])
    with pytest.raises(Altered, match=r"^leaf 30: missing"):
        await audited(filled)
    await filled.mongo["ledger"].bulk([DeleteOne({"_id": 10})])
    with pytest.raises(Altered, match=r"^leaf 10: missing"):
        await audited(filled)


@pytest.mark.attack(63, guard="preklic_workers.ledger.auditing:_compare")
async def test_a_whole_other_ledger_does_not_fit_the_signed_heads(filled):
    """A fork: everything is written anew from leaf 20 on, hashes and edges with it, but nobody can sign it."""
    runs = [run async for run in filled.ledger.runs()]
    checkpoints = await filled.ledger.checkpoints()
    await filled.mongo["ledger"].bulk([DeleteOne({"_id": run.start}) for run in runs[2:]])
    await acted(filled, 20)
    await sequencer_of(filled).once()
    assert await filled.ledger.checkpoints() == checkpoints
    with pytest.raises(Altered, match=r"^leaves 20 to 29: not those that were signed"):
        await audited(filled)


@pytest.mark.attack(63, guard="preklic_workers.ledger.auditing:_look")
async def test_a_clock_that_was_set_back_is_named_and_the_sequencer_never_does_it(filled, monkeypatch):
    monkeypatch.setattr(filled.mongo, "ahead", -dt.timedelta(days=3))
    await acted(filled, 5)
    await sequencer_of(filled).once()
    times = [read_canonical(one, "it")["at"] for one in await all_leaves(filled)]
    assert times == sorted(times)
    last = (await filled.ledger.last()).start
    octets = leaf("0" * 32, "act.looked", Opening(bytes(32), {}), times[0] - 1)
    doc = await filled.mongo["ledger"].find_one({"_id": last})
    changed = [octets, *map(bytes, doc["leaves"][1:])]
    await filled.mongo["ledger"].bulk(
        [UpdateOne({"_id": last}, {"$set": {"leaves": changed, "hashes": b"".join(map(leaf_hash, changed))}})]
    )
    with pytest.raises(Altered, match=f"^leaf {last}: the clock was set back"):
        await audited(filled)


async def test_a_head_by_another_key_or_over_another_size_is_named(filled):
    await filled.mongo["checkpoints"].bulk(
        [UpdateOne({"_id": 30}, {"$set": {"note": (await filled.ledger.checkpoints())[1][1]}})]
    )
    with pytest.raises(Altered, match="the checkpoint of 30 leaves: it is of 20"):
        await audited(filled)
    ledger = filled.ledger
    checkpoints = await ledger.checkpoints()
    with pytest.raises(Altered, match="no known key"):
        await audit(ledger.runs(), checkpoints, {"other.example/ledger": KEYS[NAME]})
