"""`preklic relays`: the relays, what each may carry, and what all workers have used up of it."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import typer

from preklic_shared.cli import Code, Json, ends_with, show
from preklic_shared.relay_settings import Limit, Relay
from preklic_shared.settings import Settings
from preklic_workers import looking, store
from preklic_workers.seats import seats_key
from preklic_workers.smtp.bulkhead import places_name
from preklic_workers.smtp.meter import planned, rate_key, warm_key
from preklic_workers.smtp.routes import contracted

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
_LISTED = (
    "name",
    "processor",
    "state",
    "weight",
    "purposes",
    "rate",
    "ahead",
    "connections",
    "seats",
    "warm_up",
    "providers",
)


def relays(*, as_json: Json = False) -> None:
    """Each relay with its processor, switches, limits, and how much of them is used.

    `ahead`: for so many seconds its turns are given out already. `seats`: sessions that all workers together hold, of
    how many. `warm_up`: mails of today, of how many. `providers`: the limits of each class of mailbox provider, also
    those of all relays together; `places` as `seats`. Ends with 1 when a relay carries nothing (stopped, or no
    contract). A circuit breaker belongs to one worker: see its metric `preklic_relay_open`.

    Example: `preklic relays --json`
    """

    async def work(opened: store.Store, config: Settings) -> list[dict[str, Any]]:
        now = opened.mongo.now()
        stopped = {switch.name for switch in await opened.controls.all() if switch.stopped}
        leases = await opened.leases.all()
        return [row(relay, config, stopped, leases, now) for relay in config.relays]

    rows = looking.with_store("read", work)
    shown = rows if as_json else [_flat(one) for one in rows]
    show(shown, _LISTED, title="Relays", as_json=as_json)
    if any(one["state"] != "good" for one in rows):
        raise typer.Exit(Code.FINDING)


def row(
    relay: Relay, config: Settings, stopped: set[str], leases: Mapping[str, Mapping[str, Any]], now: dt.datetime
) -> dict[str, Any]:
    """One relay as it stands. Pure."""
    valid = any(one.name == relay.processor and contracted(one, now.date()) for one in config.processors)
    given = leases.get(rate_key(relay.name, None), {}).get("next", 0.0)
    return {
        "name": relay.name,
        "processor": relay.processor,
        "state": "stopped" if f"relay:{relay.name}" in stopped else "good" if valid else "processor_invalid",
        "weight": relay.weight,
        "purposes": None if relay.purposes is None else list(relay.purposes),
        "rate": relay.rate or None,
        "ahead": round(max(0.0, given - now.timestamp()), 1),
        "connections": relay.connections,
        "seats": _held(relay.name, relay.connections_total, leases, now),
        "warm_up": _warm(relay, leases, now.date()),
        "providers": [_limit(one, leases, now) for one in config.limits if one.relay in (None, relay.name)],
    }


def _limit(limit: Limit, leases: Mapping[str, Mapping[str, Any]], now: dt.datetime) -> dict[str, Any]:
    return {
        "provider": limit.provider,
        "relay": limit.relay,
        "rate": limit.rate,
        "places": _held(places_name(limit.relay, limit.provider), limit.connections, leases, now),
        "messages_per_connection": limit.messages_per_connection,
    }


def _warm(relay: Relay, leases: Mapping[str, Mapping[str, Any]], today: dt.date) -> dict[str, int] | None:
    most = None if relay.warm_up is None else planned(relay.warm_up, today)
    if most is None:
        return None
    return {"used": leases.get(warm_key(relay.name, today), {}).get("count", 0), "most": most}


def _held(
    name: str, most: int | None, leases: Mapping[str, Mapping[str, Any]], now: dt.datetime
) -> dict[str, int] | None:
    if most is None:
        return None
    held = leases.get(seats_key(name), {}).get("held", ())
    return {"held": sum(one["seats"] for one in held if one["until"] > now), "most": most}


def _flat(one: dict[str, Any]) -> dict[str, Any]:
    warm, seats = one["warm_up"], one["seats"]
    return one | {
        "purposes": "all" if one["purposes"] is None else ", ".join(one["purposes"]),
        "rate": one["rate"] or "-",
        "seats": f"{seats['held']} of {seats['most']}" if seats else "-",
        "warm_up": f"{warm['used']} of {warm['most']}" if warm else "-",
        "providers": ", ".join(_words(limit) for limit in one["providers"]) or "-",
    }


def _words(limit: dict[str, Any]) -> str:
    places = limit["places"]
    said = [
        limit["rate"] and f"{limit['rate']:g}/s",
        places and f"{places['held']} of {places['most']} at once",
        limit["messages_per_connection"] and f"{limit['messages_per_connection']} a session",
    ]
    return " ".join([limit["provider"], *(part for part in said if part)])
