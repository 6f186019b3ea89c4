import asyncio
import datetime as dt
from dataclasses import replace

import pytest
from pymongo import DeleteOne

from lawing import MOJCA, OFFICERS, denials, law_of, officer
from ledgering import sequencer_of
from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_workers import holds
from preklic_workers.envelope import GROUPS
from preklic_workers.holds import Wanted
from preklic_workers.officers import Denied
from preklic_workers.opening import DISCLOSURE, open_fields
from preklic_workers.permission import may
from preklic_workers.rounds import Rounds
from preklic_workers.store import GateRefused, Grant
from preklic_workers.store.restored import Restored
from preklic_workers.upkeep import Upkeep
from storing import (
    HOUR,
    NEWS,
    OFFERS,
    PAYMENT,
    REGISTRY,
    claimed,
    gated,
    grant,
    now,
    subject,
)

ANA = "ana@primer.si"
NOTHING_KEPT = frozenset()
DAYS = dt.timedelta(days=1)


@pytest.fixture
def store(emptied_store):
    return emptied_store


@pytest.fixture
async def ana(store):
    """Somebody with a newsletter, a profile and an order."""
    await grant(store, ANA, NEWS, at=now() - HOUR)
    await store.persons.enrich(subject(ANA), "profile", {"name": "Ana"}, "form", now())
    await store.persons.enrich(subject(ANA), "service", {"order": 7}, "shop", now())
    return subject(ANA)


def wanted(*groups, until=30 * DAYS, **more):
    return Wanted("II P 12/2026", groups or ("contact", "evidence"), now() + until, "a lawsuit", **more)


async def hold(store, *groups, **more):
    return await holds.add(law_of(store), MOJCA, subject(ANA), wanted(*groups, **more))


async def erase(store, keep=NOTHING_KEPT):
    """As `revoke` does it, and upkeep's next round."""
    await store.persons.erase(subject(ANA), now(), lambda _person: keep)
    await store.holds.keys.move()


async def groups_with_keys(store):
    """Of which groups there is a key: the person's own, or under a hold's."""
    return await store.vault.groups(subject(ANA)) | await store.holds.keys.groups(subject(ANA))


async def by_law(store, group):
    """What an order would get."""
    return await open_fields(store, REGISTRY, subject(ANA), group, DISCLOSURE)


async def document(store):
    return await store.mongo["persons"].find_one({"_id": subject(ANA)})


async def kinds(store):
    return [act.kind for act in reversed(await store.acts.of(person=subject(ANA)))]


@pytest.mark.clause("U13", guard="preklic_workers.store.holding:held_groups")
async def test_erasure_takes_what_is_not_held_and_the_rest_opens_for_the_law_alone(store, ana):
    made = await hold(store)
    await erase(store)
    assert await groups_with_keys(store) == {"contact", "evidence"}
    assert await by_law(store, "contact") == {"address": ANA}
    assert await store.proofs.opened(ana) != []
    assert await by_law(store, "profile") == await by_law(store, "service") == {}
    doc = await document(store)
    assert set(doc) & {"contact", "lookup", "provider", "ref_hash"} == set()
    assert (doc["erased"], doc["fields"], doc["permissions"], set(doc["held"])) == (True, {}, {}, {"contact"})
    # Nothing that mail rests on knows of it.
    assert await store.persons.address_of(ana) is None
    assert await store.persons.by_lookup(parse(ANA)) is None
    assert await gated(store, ana, await claimed(store, ana)) == GateRefused("erased")
    assert await gated(store, ana, await claimed(store, ana, PAYMENT), purpose=PAYMENT) == GateRefused("erased")
    [told] = await store.acts.of(kind="erasure_held")
    assert told.facts == {"groups": "contact evidence", "holds": made.id, "count": 1}


async def test_an_old_link_does_not_bring_a_held_person_back(store, ana):
    await hold(store)
    await erase(store)
    pid_grant = Grant(new_id(), ana, [OFFERS], now() + HOUR, {"method": "page"}, confirmed=True)
    assert await store.grants.grant(pid_grant) == {"offers": "erased"}
    assert may(await store.persons.read(ana), OFFERS) == "erased"


@pytest.mark.clause("U13", guard="preklic_workers.store.holding:owed_groups")
async def test_the_release_completes_the_erasure_at_once_and_recorded_first(store, ana):
    made = await hold(store)
    await erase(store)
    person, gone = await holds.release_signed(law_of(store), MOJCA, made.id, "judged")
    assert (person, gone) == (ana, {"contact", "evidence"})
    assert await groups_with_keys(store) == set()
    assert {"holds", "held", "waiting"} & {name for name, value in (await document(store)).items() if value} == set()
    assert await by_law(store, "contact") == {}
    assert await store.proofs.opened(ana) == []
    assert await kinds(store) == ["hold_added", "erasure_held", "hold_released", "erasure_completed"]
    # Once more finds nothing to do.
    assert await holds.release_signed(law_of(store), MOJCA, made.id, "judged") == (ana, NOTHING_KEPT)


@pytest.mark.clause("U13", guard="preklic_workers.store.ledger:LedgerStore._erased")
async def test_what_the_ledger_says_of_somebody_held_opens_until_the_release(store, ana):
    """Also what still rode when the erasure came. Without evidence held, nothing of the ledger opens."""
    made = await hold(store)
    message = await claimed(store, ana)
    await store.messages.settle(message, 1, "sent", relay="main")
    await erase(store)
    await sequencer_of(store).once()
    run = await store.ledger.last()
    opened = await store.ledger.opened(run, range(run.end))
    assert message in {opening.content["of"] for opening in opened.values()}
    assert "erasure_held" in {opening.content["entry"]["what"] for opening in opened.values()}
    await holds.release_signed(law_of(store), MOJCA, made.id, "judged")
    await sequencer_of(store).once()
    runs = [run async for run in store.ledger.runs()]
    opened = [
        opening for run in runs for opening in (await store.ledger.opened(run, range(run.start, run.end))).values()
    ]
    assert set(opened) == {None}
    assert await groups_with_keys(store) == set()


async def test_what_another_hold_covers_stays_until_that_one_goes(store, ana):
    first, second = await hold(store, "contact", "profile"), await hold(store, "contact")
    await erase(store)
    assert (await holds.release_signed(law_of(store), MOJCA, first.id, "over"))[1] == {"profile"}
    assert await by_law(store, "contact") == {"address": ANA}
    assert await groups_with_keys(store) == {"contact"}
    third = await hold(store, "contact")  # what one hold keeps another one may need too
    assert (await holds.release_signed(law_of(store), MOJCA, second.id, "over"))[1] == NOTHING_KEPT
    assert (await holds.release_signed(law_of(store), MOJCA, third.id, "over"))[1] == {"contact"}
    assert await groups_with_keys(store) == set()


@pytest.mark.clause("U13", guard="preklic_workers.store.holding:lacking")
async def test_nothing_that_is_gone_can_be_held(store, ana):
    with pytest.raises(Denied, match="nothing is recorded of court"):
        await hold(store, "contact", "court")
    await erase(store)
    for groups in (("contact",), ("evidence",), ("profile",)):
        with pytest.raises(Denied, match="cannot be held"):
            await hold(store, *groups)
    assert await store.holds.of(ana) == []
    assert await denials(store) == ["nothing_there"] * 4


@pytest.mark.clause("U13", guard="preklic_workers.store.holding:lacking")
@pytest.mark.parametrize("keep", [NOTHING_KEPT, frozenset({"contact"})])
async def test_a_hold_that_comes_while_keys_are_being_destroyed_is_refused(store, ana, keep, monkeypatch):
    """The document is emptied, the keys are still there: the hold must not claim what they open."""
    emptied, may_destroy = asyncio.Event(), asyncio.Event()
    destroy = store.vault.destroy

    async def slow(*arguments, **options):
        emptied.set()
        await may_destroy.wait()
        await destroy(*arguments, **options)

    monkeypatch.setattr(type(store.vault), "destroy", lambda _vault, *a, **k: slow(*a, **k))
    erasing = asyncio.create_task(erase(store, keep))
    await emptied.wait()
    for group in {"evidence", "profile", "contact"} - keep:
        with pytest.raises(Denied, match="cannot be held"):
            await hold(store, group)
    may_destroy.set()
    await erasing
    assert await groups_with_keys(store) == keep


async def test_a_hold_that_an_erasure_overtakes_looks_again(store, ana, monkeypatch):
    groups, erased = store.vault.groups, []

    async def overtaken(_vault, person):
        found = await groups(person)
        if len(erased) == 1:  # the look before the act is the first
            await erase(store)
        erased.append(1)
        return found

    monkeypatch.setattr(type(store.vault), "groups", overtaken)
    with pytest.raises(Denied, match="cannot be held"):
        await hold(store)
    assert await store.holds.of(ana) == []
    assert await kinds(store) == ["hold_added", "hold_denied"]


async def test_a_hold_and_an_erasure_at_once_end_in_one_of_two_ways(store):
    people = [f"p{number}@primer.si" for number in range(25)]
    for address in people:
        await grant(store, address, NEWS, at=now() - HOUR)

    async def held(address):
        await asyncio.sleep(people.index(address) % 5 / 1000)
        try:
            await holds.add(law_of(store), MOJCA, subject(address), wanted("contact"))
        except Denied:
            return False
        return True

    async def erased(address):
        await store.persons.erase(subject(address), now(), lambda _person: NOTHING_KEPT)

    pairs = await asyncio.gather(*(asyncio.gather(held(address), erased(address)) for address in people))
    for address, (was_held, _) in zip(people, pairs, strict=True):
        opened = await open_fields(store, REGISTRY, subject(address), "contact", DISCLOSURE)
        assert opened == ({"address": address} if was_held else {})
        assert (await store.persons.whole(subject(address))).erased


async def test_a_hold_ends_by_itself_and_an_interrupted_end_is_finished(store, ana, monkeypatch):
    short, long = await hold(store, "contact", until=HOUR), await hold(store, "profile")
    await erase(store)
    rounds = Rounds(Upkeep(store, REGISTRY), store, "amqp://127.0.0.1:1/")
    assert await holds.round_of(store, now()) == 0
    monkeypatch.setattr(store.mongo, "ahead", store.mongo.ahead + 2 * HOUR)
    with monkeypatch.context() as patch:

        async def killed(*_arguments):
            raise RuntimeError

        patch.setattr(type(store.holds), "complete", killed)
        with pytest.raises(RuntimeError):
            await rounds.once()
    assert [one.id for one in await store.holds.of(ana)] == [long.id]
    # Its key went with it; what that left is noise, which the next round takes away.
    assert (await groups_with_keys(store), set((await document(store))["held"])) == (
        {"profile"},
        {"contact", "profile"},
    )
    await rounds.once()
    assert (await groups_with_keys(store), set((await document(store))["held"])) == ({"profile"}, {"profile"})
    released = (await store.acts.of(kind="hold_released"))[0]
    assert (released.by, released.facts["hold"]) == ("upkeep", short.id)


async def test_an_open_contract_keeps_its_contact_for_mail_and_the_hold_takes_over_later(store, ana):
    await grant(store, ANA, PAYMENT, at=now() - HOUR)
    made = await hold(store)
    await erase(store, frozenset({"contact"}))
    assert await store.persons.address_of(ana) == ANA
    assert "held" not in await document(store)
    await erase(store)
    assert await store.persons.address_of(ana) is None
    assert await by_law(store, "contact") == {"address": ANA}
    await holds.release_signed(law_of(store), MOJCA, made.id, "over")
    assert await groups_with_keys(store) == set()


async def test_whoever_comes_back_keeps_the_new_data_when_the_old_hold_goes(store, ana):
    made = await hold(store, "contact", "profile", "evidence")
    await erase(store)
    assert await grant(store, ANA, OFFERS, at=now() + HOUR) == {"offers": "granted"}
    await store.persons.enrich(ana, "service", {"order": 8}, "shop", now())
    assert await by_law(store, "profile") == {"name": "Ana"}
    await holds.release_signed(law_of(store), MOJCA, made.id, "over")
    assert await store.persons.address_of(ana) == ANA
    assert await by_law(store, "profile") == {}
    assert await by_law(store, "service") == {"order": 8}
    assert await groups_with_keys(store) == {"contact", "service", "evidence"}
    assert [proof["purpose"] for proof in await store.proofs.opened(ana)] == ["offers"]


async def test_a_hold_keeps_the_records_of_mails_and_only_of_this_person(store, ana):
    mine = await claimed(store, ana)
    await grant(store, "bor@primer.si")
    others = await claimed(store, subject("bor@primer.si"))
    for strange in (others, new_id()):
        with pytest.raises(Denied, match="no recorded mails of this person"):
            await hold(store, "contact", mails=(mine, strange))
    between = await store.holds.mails_between(ana, now() - HOUR, now() + HOUR)
    made = await hold(store, "contact", mails=tuple(between))
    await store.mongo["messages"].bulk([DeleteOne({"_id": mine})])  # as its retention would
    [mail] = await store.holds.mails(ana)
    assert (mail["_id"], mail["purpose"], made.mails) == (mine, "newsletter", 1)
    await holds.release_signed(law_of(store), MOJCA, made.id, "over")
    assert await store.holds.mails(ana) == []


async def test_the_listing_shows_a_hold_that_is_not_as_it_was_signed(store, ana):
    mail = await claimed(store, ana)
    made = await hold(store, "contact", mails=(mail, mail))
    [(person, listed)] = await store.holds.all()
    assert (person, listed.id, listed.body) == (ana, made.id, made.body)
    law = law_of(store)
    assert await holds.state_of(law, ana, listed) == "good"
    assert await holds.state_of(law, subject("bor@primer.si"), listed) == "altered"
    for change in ({"groups": GROUPS}, {"until": listed.until + DAYS}, {"case": "x"}, {"mails": 3}, {"id": new_id()}):
        assert await holds.state_of(law, ana, replace(listed, **change)) == "altered"
    assert await holds.state_of(law_of(store, [officer(MOJCA, "disclose")]), ana, listed) == "no_right"
    assert await holds.state_of(law_of(store, OFFICERS[1:]), ana, listed) == "no_officer"
    await store.mongo["held_mails"].bulk([DeleteOne({"hold": made.id})])
    assert await holds.state_of(law, ana, listed) == "altered"


async def test_what_is_no_hold_is_refused_and_recorded(store, ana):
    for change in ({"case": ""}, {"groups": ()}, {"reason": ""}, {"until": now() - DAYS}, {"mails": ("x",) * 1001}):
        with pytest.raises(Denied):
            await holds.add(law_of(store), MOJCA, ana, replace(wanted(), **change))
    assert sorted(await denials(store)) == ["expired", "missing", "missing", "missing", "too_many"]
    with pytest.raises(holds.NotFound):
        await holds.release_signed(law_of(store), MOJCA, new_id(), "what?")
    for _ in range(20):
        await hold(store, "contact")
    with pytest.raises(Denied, match="at most 20 holds"):
        await hold(store, "contact")


@pytest.mark.clause("U13", guard="preklic_workers.store.holding:held_groups")
async def test_a_restore_destroys_no_key_of_what_is_held(store, ana):
    await hold(store)
    await erase(store)
    await Restored(store.mongo).unburied([(ana, now())])
    await store.holds.keys.move()
    assert await groups_with_keys(store) == {"contact", "evidence"}
    assert await by_law(store, "contact") == {"address": ANA}
