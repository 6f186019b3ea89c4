"""`preklic processors`: the companies that send for the controller, and until when they may (clause U8)."""

import datetime as dt
from typing import Any

import typer

from preklic_shared.cli import Code, Json, settings, show
from preklic_shared.settings import Settings
from preklic_workers.smtp.routes import contracted, days_left


def processors(*, as_json: Json = False) -> None:
    """The register of processors: contract, country, validity, days left, and the relays of each.

    Ends with 1 when a relay belongs to nobody under contract today: nothing goes out by it.

    Example: `preklic processors --json`
    """
    config = settings()
    today = dt.datetime.now(dt.UTC).date()
    rows = register(config, today)
    columns = ("name", "contract", "country", "valid_from", "valid_to", "days_left", "relays", "state")
    shown = rows if as_json else [row | {"relays": ", ".join(row["relays"])} for row in rows]
    show(shown, columns, title="Processors", as_json=as_json)
    if any(row["state"] != "valid" and row["relays"] for row in rows):
        raise typer.Exit(Code.FINDING)


def register(config: Settings, today: dt.date) -> list[dict[str, Any]]:
    """A row for each processor, and one for each that a relay names and nobody registered."""
    rows = [
        {
            "name": one.name,
            "contract": one.contract,
            "country": one.country,
            "valid_from": one.valid_from,
            "valid_to": one.valid_to,
            "days_left": days_left(one, today),
            "relays": [relay.name for relay in config.relays if relay.processor == one.name],
            "state": "valid" if contracted(one, today) else "invalid",
        }
        for one in config.processors
    ]
    known = {one.name for one in config.processors}
    strange = sorted({relay.processor for relay in config.relays} - known)
    blank: dict[str, Any] = dict.fromkeys(("contract", "country", "valid_from", "valid_to"), "") | {"days_left": 0}
    for name in strange:
        relays = [relay.name for relay in config.relays if relay.processor == name]
        rows.append({"name": name} | blank | {"relays": relays, "state": "unregistered"})
    return rows
