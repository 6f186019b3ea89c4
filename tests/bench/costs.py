"""What one job costs each program, from a run's samples: what `preklic capacity` reckons with. Pure."""

import statistics
from collections.abc import Mapping
from typing import Any

from bench.report import Groups

# Cost -> the group and the contender that show it, and the name that our process has there.
SHOWN = {
    "publish": ("publish", "preklic send_many", "client"),
    "mail": ("send", "preklic 2 processes", "worker"),
    "event": ("track", "preklic 2 processes", "worker"),
    "request": ("click", "preklic gateway", "server"),
}
SERVERS = ("rabbitmq", "mongod")
_MICROS = 100  # seconds for 10,000 jobs -> microseconds for one


def costs(groups: Groups, machine: Mapping[str, Any]) -> dict[str, Any] | None:
    """Medians in microseconds; None when a group did not run."""
    found: dict[str, Any] = {}
    for cost, (group, contender, own) in SHOWN.items():
        samples = groups.get(group, {}).get(contender, ())
        if not samples:
            return None
        names = {own: "ours"} | dict(zip(SERVERS, SERVERS, strict=True))
        found[cost] = {
            called: round(_MICROS * statistics.median(sample["cpu"].get(name, 0.0) for sample in samples), 1)
            for name, called in names.items()
        }
    found["queue"] = round(max(sample["rate"] for each in groups["publish"].values() for sample in each))
    found["machine"] = "{cores} cores, {processor}, Python {python}, RabbitMQ {rabbitmq}, MongoDB {mongodb}".format(
        **machine
    )
    return found
