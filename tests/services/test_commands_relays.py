"""`preklic relays`: what is configured, and what all workers have used up."""

import asyncio
import datetime as dt
import json

from commanding import Commands
from preklic_shared.ids import new_id
from preklic_workers.seats import seats_key
from preklic_workers.smtp.meter import warm_key
from relaying import limit, relay, written
from storing import open_test_store

GMAIL = {"rate": 5, "connections": 20}


async def used(mongo_url, mongo_database, today):
    store = await open_test_store(mongo_url, mongo_database)
    for _ in range(3):
        await store.leases.turn("rate:main", 0.5, 60.0)
        await store.leases.take(warm_key("main", today), 50)
    await store.leases.share(seats_key(":gmail"), new_id(), 3, 20, 60.0)
    return store


async def test_relays_are_listed_with_their_limits_and_a_stopped_one_is_a_finding(
    mongo_url, mongo_database, monkeypatch, capsys, tmp_path
):
    today = dt.datetime.now(dt.UTC).date()
    warm_up = {"start": today, "plan": [50]}
    main = relay("main", rate=0.5, purposes=["payment"], warm_up=warm_up)
    file = written(tmp_path, main, relay("spare"), limit("gmail", **GMAIL))
    store = await used(mongo_url, mongo_database, today)
    places = {"CONFIG": str(file), "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database}
    preklic = Commands(monkeypatch, capsys, {f"PREKLIC_{name}": value for name, value in places.items()})
    code, out, _ = await asyncio.to_thread(preklic, "relays", "--json")
    main, spare = json.loads(out)
    assert (code, main["state"], main["warm_up"], main["purposes"]) == (0, "good", {"used": 3, "most": 50}, ["payment"])
    assert 4 < main["ahead"] <= 6
    assert (
        main["providers"]
        == spare["providers"]
        == [
            {
                "provider": "gmail",
                "relay": None,
                "rate": 5,
                "places": {"held": 3, "most": 20},
                "messages_per_connection": None,
            }
        ]
    )
    assert (spare["warm_up"], spare["rate"], spare["ahead"], spare["purposes"]) == (None, None, 0, None)
    await store.controls.stop("relay:spare", reason="a test", by="test")
    code, out, _ = await asyncio.to_thread(preklic, "relays")
    assert code == 1
    assert "stopped" in out
    assert "gmail" in out
    store.close()
