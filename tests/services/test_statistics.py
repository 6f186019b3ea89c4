"""Statistics on a real MongoDB: what a closed day holds, who is in it, and what `preklic stats` says (U15)."""

import asyncio
import datetime as dt
import itertools
import json
import os
import sys

import pytest

from commanding import Commands
from preklic_shared.ids import new_id
from preklic_workers import packing
from preklic_workers.again import Again
from preklic_workers.days import SETTLING, Days
from preklic_workers.figures import Cell, table
from preklic_workers.packing import Key
from preklic_workers.store import Event
from preklic_workers.store.person_docs import fresh
from preklic_workers.store.statistics import ClosedDay, _within
from storing import open_test_store, subject
from waiting import auntil

DAY = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)
LATER = dt.timedelta(days=1)
AFTER = dt.datetime(2026, 11, 3, tzinfo=dt.UTC) + SETTLING
GUARD = "preklic_workers."
_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    """Each count becomes the next lower ten: what is drawn is the packing's own affair."""
    monkeypatch.setattr("preklic_workers.days.secrets.randbelow", lambda _: 9)


def people(count, provider="gmail", **fields):
    docs = []
    for _ in range(count):
        name = f"p{next(_NUMBERS)}@primer.si"
        docs.append(fresh(subject(name), os.urandom(16)) | {"provider": provider} | fields)
    return docs


async def mailed(
    store, persons, state="sent", *, at=DAY, purpose="newsletter", template="newsletter", new=True, **more
):
    """Mails to these people that came to that end; their ids."""
    if new:
        await store.mongo["persons"].insert_many([dict(person) for person in persons])
    mails = [
        {"_id": new_id(), "kind": "send", "state": state, "producer": "website", "purpose": "newsletter", "created": at}
        | {"template": template, "person": person["_id"], "expires": at + LATER, "at": at, "epoch": 1}
        | more
        for person in persons
    ]
    result = await store.mongo["messages"].insert_many(mails)
    assert not result.failed
    return [mail["_id"] for mail in mails]


async def happened(store, mails, kind, verdict="human"):
    await store.events.record([Event(f"{mail}|{kind}||1", mail, "x", kind, verdict, DAY) for mail in mails])


async def withdrawn(store, persons, *purposes, at=DAY):
    docs = [
        {"_id": new_id(), "person": person["_id"], "purposes": list(purposes), "reason": "one_click", "seq": 1}
        | {"accepted": at, "closed": at}
        for person in persons
    ]
    await store.mongo["withdrawals"].insert_many(docs)


async def rows(store, *by):
    return table((cell for day in await store.statistics.days() for cell in day.cells), by)


@pytest.mark.clause("U15", guard=GUARD + "counting:by_people")
async def test_a_closed_day_counts_each_mail_once_with_what_people_did(store):
    persons = people(40)
    mails = await mailed(store, persons[:30])
    await happened(store, mails[:12], "opened")
    await happened(store, mails[12:], "opened", "prefetch")
    await mailed(store, persons[30:], "refused", reason="withdrawn")
    await withdrawn(store, persons[:10], "newsletter")
    await withdrawn(store, persons[10:20], "newsletter", "offers")
    assert await Days(store).round(AFTER) == 1
    assert await rows(store, "purpose") == [
        {"purpose": "newsletter", "sent": 20, "opened": 10, "refused": 10, "withdrawn": 10},
        {"purpose": "several", "withdrawn": 10},
    ]
    (by_reason,) = [row for row in await rows(store, "reason") if "refused" in row]
    assert by_reason == {"reason": "refused: withdrawn", "refused": 10}


@pytest.mark.clause("U15", guard=GUARD + "packing:enough")
async def test_small_groups_are_packed_by_provider_and_then_by_template_and_wait_for_company(store):
    await mailed(store, people(20))
    await mailed(store, people(6, "siol") + people(5, "proton"))
    await mailed(store, people(4), template="welcome")
    await mailed(store, people(7, "siol"), template="confirm")
    await mailed(store, people(4), "refused", reason="withdrawn")
    await mailed(store, people(9), "bounced", reason="bounced")
    await mailed(store, people(1), "bounced", reason="bounced", at=DAY + LATER)
    days = Days(store)
    assert await days.round(AFTER) == 1
    assert await rows(store, "provider", "campaign") == [
        {"provider": "gmail", "campaign": "newsletter", "sent": 20},
        {"provider": "other", "campaign": "-", "sent": 10},
        {"provider": "other", "campaign": "newsletter", "sent": 10},
    ]
    assert len((await store.statistics.last()).waiting) == 13
    assert await days.round(AFTER + LATER) == 1
    assert await rows(store, "day") == [{"day": "2026-11-02", "sent": 40}, {"day": "2026-11-03", "bounced": 10}]
    assert len((await store.statistics.last()).waiting) == 4
    first = await store.mongo["statistics"].find_one({"_id": "2026-11-02"})
    assert first["waiting"] == []


@pytest.mark.clause("U15", guard=GUARD + "days:is_over")
async def test_whoever_joins_later_changes_no_answer_that_was_given(store):
    days = Days(store)
    await mailed(store, people(99))
    assert await days.due(AFTER - dt.timedelta(seconds=1)) is None
    await mailed(store, people(1))
    assert await days.round(AFTER) == 1
    before = [await rows(store, *by) for by in itertools.combinations(("provider", "campaign", "day"), 2)]
    assert before[0] == [{"provider": "gmail", "campaign": "newsletter", "sent": 100}]
    await mailed(store, people(1, "siol"))
    await withdrawn(store, people(1), "newsletter")
    assert await days.due(AFTER) is None
    assert not await days.close(DAY.date())
    assert before == [await rows(store, *by) for by in itertools.combinations(("provider", "campaign", "day"), 2)]


@pytest.mark.clause("U15", guard=GUARD + "store.statistics:objects")
async def test_who_objects_is_in_no_number_and_nobody_knows_the_provider_of_the_erased(store):
    no = {"permissions": {"statistics": {"state": "objected", "at": DAY, "job": new_id(), "seq": 1}}}
    await mailed(store, people(20) + people(15, **no))
    erased = people(12, erased=True)
    for person in erased:
        del person["provider"]
    await mailed(store, erased)
    await Days(store).round(AFTER)
    assert await rows(store, "provider") == [{"provider": "gmail", "sent": 20}, {"provider": "gone", "sent": 10}]
    assert (await store.statistics.last()).persons == {"gmail": 20}


@pytest.mark.clause("U15", guard=GUARD + "store.schema:VALIDATORS")
@pytest.mark.parametrize("count", [9, 11, 0, 10.0])
async def test_mongodb_itself_refuses_a_small_or_exact_number(mongo_url, mongo_database, count):
    store = await open_test_store(mongo_url, mongo_database)
    key = Key("newsletter", "newsletter", "gmail", "sent")
    with pytest.raises(Exception, match="failed validation"):
        await store.statistics.close(ClosedDay(DAY.date(), [Cell(DAY.date(), key, count)], {}))
    with pytest.raises(Exception, match="failed validation"):
        await store.statistics.close(ClosedDay(DAY.date(), [], {"gmail": count}))
    store.close()


async def test_what_is_kept_names_nobody_and_what_waits_goes_with_its_group(store):
    await mailed(store, people(12))
    await Days(store).round(AFTER)
    doc = await store.mongo["statistics"].find_one({})
    assert set(doc) == {"_id", "day", "at", "cells", "persons", "waiting"}
    assert doc["cells"] == [
        Key("newsletter", "newsletter", "gmail", "sent")._asdict() | {"count": 10},
    ]
    assert doc["waiting"] == []


async def test_a_day_is_read_by_its_indexes_page_by_page(store, monkeypatch):
    monkeypatch.setattr("preklic_workers.store.statistics.PAGE", 7)
    await mailed(store, people(40))
    await withdrawn(store, people(40), "newsletter")
    pages = [len(page) async for page in store.statistics.mails(DAY.date())]
    assert (sum(pages), max(pages)) == (40, 7)
    for collection, where, index in (
        ("messages", _within("created", DAY.date()) | {"kind": "send", "person": {"$exists": True}}, "age"),
        ("withdrawals", _within("accepted", DAY.date()), "accepted"),
        ("persons", {"provider": {"$gt": ""}}, "provider"),
        ("persons", {"permissions.statistics.state": {"$in": ["objected"]}}, "statistics_no"),
    ):
        question = {"explain": {"find": collection, "filter": where}, "verbosity": "queryPlanner"}
        plan = str((await store.mongo.command(question))["queryPlanner"]["winningPlan"])
        assert f"'indexName': '{index}'" in plan
        assert "COLLSCAN" not in plan


async def test_upkeep_closes_the_days_by_itself_once_however_many_it_is(store):
    await mailed(store, people(12), at=dt.datetime.now(dt.UTC) - SETTLING - 2 * LATER)
    parts = [Again("statistics", Days(store).once, 60.0) for _ in range(2)]
    for part in parts:
        await part.start()
    await auntil(store.statistics.last, what="a closed day")
    for part in parts:
        await part.stop()
    assert len(await store.statistics.days()) in {1, 2}
    assert await rows(store) == [{"sent": 10}]


@pytest.fixture
def preklic(monkeypatch, capsys, mongo_url, mongo_database):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    places = {"MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database}
    return Commands(monkeypatch, capsys, {f"PREKLIC_{name}": value for name, value in places.items()})


def test_the_command_says_all_this_and_draws_it(preklic, mongo_url, mongo_database, tmp_path, monkeypatch):
    async def filled():
        store = await open_test_store(mongo_url, mongo_database)
        mails = await mailed(store, people(60) + people(20, "siol"))
        await happened(store, mails[:40], "clicked")
        await mailed(store, people(30), at=DAY + LATER)
        await Days(store).round(AFTER + LATER)
        store.close()

    assert preklic("stats")[0] == 0
    asyncio.run(filled())
    code, out, _ = preklic("stats", "--by", "provider", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["rows"] == [
        {"provider": "gmail", "sent": 90, "clicked": 40},
        {"provider": "siol", "sent": 20},
    ]
    assert told["persons"] == {"day": "2026-11-02", "by_provider": {"gmail": 90, "siol": 20}}
    assert (told["closed"], told["group"]) == (["2026-11-02", "2026-11-03"], packing.GROUP)
    _, out, _ = preklic("stats", "--by", "day,purpose", "--from", "2026-11-03", "--to", "2026-11-03")
    assert "2026-11-03" in out
    assert "2026-11-02" not in out
    assert "fewer than 10 people are in no number" in out
    assert preklic("stats", "--by", "person")[0] == 2
    assert preklic("stats", "--plot", "stats.pdf")[0] == 2
    monkeypatch.setitem(sys.modules, "preklic_workers.plots", None)
    monkeypatch.delattr("preklic_workers.plots", raising=False)
    code, _, err = preklic("stats", "--plot", str(tmp_path / "x.svg"))
    assert code == 2
    assert "preklic[plots]" in err
