"""`preklic campaign`: what it asks for and shows, by the same path as a job over the queue."""

import asyncio
import json

import pytest

from commanding import Commands
from preklic_shared.cli import Code

WORDS = ("--purpose", "offers", "--template", "offer")


@pytest.fixture
def preklic(emptied_store, one_database, mongo_url, monkeypatch, capsys):
    run = Commands(monkeypatch, capsys, {"PREKLIC_MONGO_URL": mongo_url, "PREKLIC_MONGO_DATABASE": one_database})

    async def campaign(*words):
        return await asyncio.to_thread(run, "campaign", *words)

    return campaign


async def test_a_campaign_by_local_time_is_started_once_shown_and_moved(preklic):
    start = ("start", "pomlad", *WORDS, "--at", "2027-03-28T02:30", "--local-time", "--json")
    code, out, complained = await preklic(*start)
    assert (code, "by the company's clock" in " ".join(complained.split())) == (0, True)
    told = json.loads(out)
    assert (told["state"], told["at"], told["local_time"]) == (
        "running",
        "2027-03-27T12:30:00Z",
        "2027-03-28T02:30:00",
    )
    assert (await preklic(*start))[0] == 0
    for other in ("--rate=5", "--cap=2/7d", "--segment=provider = gmail"):
        assert (await preklic(*start, other))[0] == Code.POLICY
    assert (await preklic("start", "pomlad", *WORDS, "--at", "2027-03-28T02:31", "--local-time"))[0] == Code.POLICY
    for words, state in ((("pause", "pomlad"), "paused"), (("resume", "pomlad"), "running")):
        assert state in (await preklic(*words))[1]
    assert "stopped" in (await preklic("stop", "pomlad", "--reason", "case 17"))[1]
    code, out, _ = await preklic("status", "pomlad", "--json")
    told = json.loads(out)
    assert (code, told["state"], told["stopped"], told["scheduled"], told["mails"]) == (0, "stopped", True, 0, [])
    assert "local_time" in (await preklic("status", "pomlad"))[1]
    assert [row["name"] for row in json.loads((await preklic("list", "--json"))[1])] == ["pomlad"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("a", *WORDS, "--local-time"), Code.USAGE, "at"),
        (("a", *WORDS, "--at", "2027-03-28T02:30"), Code.USAGE, "with its zone"),
        (("a", *WORDS, "--at", "2027-03-28T02:30Z", "--local-time"), Code.USAGE, "without a zone"),
        (("a", *WORDS, "--at", "2097-03-28T02:30Z"), Code.USAGE, "366 days"),
        (("A", *WORDS), Code.USAGE, "a-z"),
        (("a", *WORDS, "--segment", "contact = x"), Code.USAGE, "no field"),
        (("a", *WORDS, "--cap", "2"), Code.USAGE, "2/7d"),
        (("a", "--purpose", "payment", "--template", "payment"), Code.POLICY, "no purpose of campaigns"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_started(preklic, emptied_store, words, code, says):
    ended, _, complained = await preklic("start", *words)
    assert (ended, await emptied_store.campaigns.all()) == (code, [])
    assert says in " ".join(complained.split())
    assert (await preklic("stop", "nobody", "--reason", "x"))[0] == Code.FINDING
