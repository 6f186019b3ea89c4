import pytest

from preklic_workers.store import schema
from storing import MINUTE, claimed, grant, now, open_test_store, subject

ANA = "ana@primer.si"


@pytest.fixture
async def bare(mongo_url, mongo_database):
    opened = await open_test_store(mongo_url, mongo_database, validators=False)
    yield opened
    opened.close()


async def test_applying_twice_is_once_and_a_check_finds_what_differs(bare):
    assert len(await schema.check(bare.mongo)) > len(schema.VALIDATORS)
    await schema.apply(bare.mongo)
    await schema.apply(bare.mongo)
    assert await schema.check(bare.mongo) == []
    await bare.mongo.command({"collMod": "persons", "validator": {}})
    await bare.mongo.command({"dropIndexes": "persons", "index": "pid"})
    assert await schema.check(bare.mongo) == ["persons: the validator differs", "persons: the index pid is missing"]
    await schema.apply(bare.mongo)
    assert await schema.check(bare.mongo) == []


BAD = {
    "an address in plain text": {"contact": "ana@primer.si"},
    "an unknown field": {"email": "ana@primer.si"},
    "a field group in plain text": {"fields": {"profile": {"name": "Ana"}}},
    "an unknown field group": {"fields": {"diary": b"x"}},
    "a permission that says nothing known": {"permissions.newsletter.state": "maybe"},
    "an operator as a value": {"permissions.newsletter.state": {"$literal": {"a": 1}}},
    "a suppression of an unknown kind": {"suppressed.mood": now()},
    "a hand-over with a note": {"open": [{"message": "x", "note": "to ana@primer.si"}]},
    "a look-up hash that is an address": {"lookup": "ana@primer.si"},
}


@pytest.mark.attack(58, guard="preklic_workers.store.schema:VALIDATORS")
@pytest.mark.parametrize("fields", BAD.values(), ids=BAD.keys())
async def test_mongodb_itself_refuses(bare, fields):
    await schema.apply(bare.mongo)
    await grant(bare, ANA)
    with pytest.raises(Exception, match="failed validation"):
        await bare.mongo["persons"].change({"_id": subject(ANA)}, {"$set": fields})


async def test_a_message_holds_no_address(store):
    message = await claimed(store, subject(ANA))
    for fields in ({"to": ANA}, {"reason": "x" * 500}, {"reply": {"code": 250, "text": ANA}}, {"state": "unheard of"}):
        with pytest.raises(Exception, match="failed validation"):
            await store.mongo["messages"].change({"_id": message}, {"$set": fields})


async def test_reads_and_sweeps_use_their_indexes(store):
    await claimed(store, subject(ANA))
    for where, index in (
        ({"state": "claimed", "lease": {"$lte": now()}}, "stuck"),
        ({"epoch": {"$gte": 2}, "at": {"$gte": now() - MINUTE}}, "retried"),
        ({"created": {"$lte": now() - MINUTE}}, "age"),
    ):
        plan = await store.mongo.command(
            {"explain": {"find": "messages", "filter": where}, "verbosity": "queryPlanner"}
        )
        assert f"'indexName': '{index}'" in str(plan["queryPlanner"]["winningPlan"])


async def test_who_of_many_is_erased_is_read_of_the_erased_alone(store):
    await grant(store, ANA)
    asked = {"_id": {"$in": [subject(ANA), subject("b@primer.example")]}, "suppressed.erased": {"$exists": True}}
    for where in (asked, asked | {"erased": True}):
        for more, documents in (({"hint": "_id_"}, 1), ({}, 0)):
            find = {"find": "persons", "filter": where} | more
            plan = await store.mongo.command({"explain": find, "verbosity": "executionStats"})
            assert plan["executionStats"]["totalDocsExamined"] == documents
