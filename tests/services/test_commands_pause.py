"""`preklic pause|resume`, and what `stop`, `go` and `queues` say of switches that end by themselves."""

import asyncio
import json

import pytest

from commanding import Commands
from preklic_shared.ids import new_id
from preklic_shared.metrics import STOPPED
from preklic_workers import returns
from preklic_workers.rounds import Rounds
from preklic_workers.store import Campaign, Event
from preklic_workers.upkeep import Upkeep
from storing import HOUR, MINUTE, NEWS, REGISTRY, claim_of, now, open_test_store

WHY = ("--reason", "the relay is being moved, case 17")


@pytest.fixture
def preklic(monkeypatch, capsys, url, mongo_url, mongo_database):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    places = {"AMQP_URL": url, "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database}
    return Commands(monkeypatch, capsys, {f"PREKLIC_{name}": value for name, value in places.items()})


@pytest.fixture
def on_store(mongo_url, mongo_database):
    def run(work):
        async def opened():
            store = await open_test_store(mongo_url, mongo_database)
            try:
                return await work(store)
            finally:
                store.close()

        return asyncio.run(opened())

    return run


def listed(preklic, *arguments):
    code, out, err = preklic(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def acts(on_store):
    found = on_store(lambda store: store.acts.of(kind="control"))
    return [(act.facts["switch"], act.facts["to"], act.why) for act in reversed(found)]


def test_a_pause_is_recorded_and_shown_with_since_when_by_whom_why_and_until_when(preklic, on_store):
    row = listed(preklic, "pause", "send.bulk", "--for", "30m", *WHY)
    assert (row["switch"], row["stopped"], row["reason"]) == ("queue:send.bulk", True, WHY[1])
    shown = {one["queue"]: one["paused"] for one in listed(preklic, "queues")}
    assert shown["send.now"] is None
    assert shown["send.bulk"] == {"since": row["at"], "by": row["by"], "reason": WHY[1], "until": row["until"]}
    code, out, _ = preklic("queues")
    assert (code, WHY[1][:12] in out, "until" in out) == (0, True, True)
    assert [one["switch"] for one in listed(preklic, "stop")] == ["queue:send.bulk"]
    # For longer is no slip; for less would let go what somebody else holds.
    assert preklic("pause", "send.bulk", "--for", "2h", *WHY)[0] == 0
    assert preklic("pause", "send.bulk", "--for", "1h", *WHY)[0] == 4
    assert preklic("pause", "send.bulk", *WHY)[0] == 0
    assert listed(preklic, "stop")[0]["until"] is None
    for _ in range(2):
        assert listed(preklic, "resume", "send.bulk", "--reason", "moved")["stopped"] is False
    assert listed(preklic, "stop") == []
    assert {one["paused"] for one in listed(preklic, "queues")} == {None}
    assert acts(on_store) == [("queue:send.bulk", "stopped", WHY[1])] * 4 + [("queue:send.bulk", "goes", "moved")] * 2


def test_withdrawals_are_never_paused_and_a_slip_of_the_pen_changes_nothing(preklic, on_store):
    code, _, err = preklic("pause", "revoke", *WHY)
    assert (code, "no mail leaves after a no" in err, "preklic stop --all" in err) == (4, True, True)
    for wrong in (
        ("pause", "send.later", *WHY),
        ("pause", "dead", *WHY),
        ("pause", "send.bulk"),
        ("pause", "send.bulk", "--reason", "ana@primer.example asked"),
        ("pause", "send.bulk", "--until", "2026-12-01T09:00", *WHY),
        ("pause", "send.bulk", "--for", "1h", "--until", "2099-12-01T09:00Z", *WHY),
        ("resume", "nothing", *WHY),
        ("stop", "--campaign", "none", *WHY),
        ("stop", "--for", "1h"),
        ("go",),
    ):
        assert preklic(*wrong)[0] == 2, wrong
    assert (listed(preklic, "stop"), acts(on_store)) == ([], [])


def test_a_store_that_is_away_hides_the_pauses_alone_and_lets_nobody_pause(preklic, monkeypatch):
    monkeypatch.setenv("PREKLIC_MONGO_URL", "mongodb://127.0.0.1:1/?directConnection=true")
    monkeypatch.setattr("preklic_workers.store.mongo._PATIENCE", {"serverSelectionTimeoutMS": 100})
    assert {one["paused"] for one in listed(preklic, "queues")} == {"unknown"}
    assert preklic("pause", "send.bulk", *WHY)[0] == 3


async def with_campaign(store):
    await store.campaigns.start(Campaign("jesen", "newsletter", "newsletter", b"{}", now() - HOUR))


def test_a_campaign_is_stopped_and_goes_by_its_name(preklic, on_store):
    on_store(with_campaign)
    found = listed(preklic, "stop", "--campaign", "jesen", "--for", "1h", *WHY)
    assert [one["switch"] for one in found["switches"]] == ["campaign:jesen"]
    assert listed(preklic, "campaign", "status", "jesen")["stopped"] is True
    assert listed(preklic, "campaign", "status", "jesen")["state"] == "running"
    listed(preklic, "go", "--campaign", "jesen", *WHY)
    assert listed(preklic, "campaign", "status", "jesen")["stopped"] is False
    assert acts(on_store) == [("campaign:jesen", "stopped", WHY[1]), ("campaign:jesen", "goes", WHY[1])]


async def test_a_stop_of_the_house_outlasts_one_for_a_time(store, url):
    """A dead withdrawal stops all marketing until a person has looked: nobody's half an hour may end that."""
    stop = store.controls.stop
    assert await stop("marketing", reason="half an hour", by="ana", until=now() + HOUR / 2)
    assert await stop("marketing", reason="the withdrawal is dead", by="upkeep")
    assert not await stop("marketing", reason="half an hour", by="ana", until=now() + HOUR / 2)
    [switch] = await store.controls.all()
    assert (switch.stopped, switch.until, switch.by) == (True, None, "upkeep")
    # Two at once, one of them for a time: what is left is the longer one, whoever was first.
    for number in range(20):
        name = f"purpose:p{number}"
        both = [stop(name, reason="r", by="ana", until=now() + MINUTE), stop(name, reason="r", by="upkeep")]
        await asyncio.gather(*(both if number % 2 else reversed(both)))
    assert {one.until for one in await store.controls.all()} == {None}
    await store.controls.stop("queue:track", reason="r", by="ana")
    await Rounds(Upkeep(store, REGISTRY), store, url)._tell()
    switches = {sample.labels["switch"] for metric in STOPPED.collect() for sample in metric.samples}
    assert ("marketing" in switches, "queue:track" in switches) == (True, False)
    assert await store.controls.stopped("marketing", f"purpose:{NEWS.key}") == "marketing"


async def test_a_relay_that_refuses_us_stops_the_purpose_for_good_while_a_person_stops_it_for_a_time(store):
    message, person = new_id(), "p" * 43
    await store.messages.claim(claim_of(message, person))
    name = f"purpose:{NEWS.key}"
    await store.controls.stop(name, reason="for an hour", by="ana", until=store.mongo.now() + HOUR)
    told = Event(f"{message}|b", message, person, "bounced", "unknown", now(), bounce="policy", code="5.7.26")
    await returns.follow(store, [told])
    [switch] = await store.controls.all()
    assert (switch.by, switch.until) == ("track", None)
