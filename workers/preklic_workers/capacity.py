"""How many processes and cores a load needs, from measured costs; what is full first; what a peak does to queues.

Pure. A cost is CPU time of one program for one job, as `make bench` measures it; rates are per second.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import msgspec

BUSY: Final = 0.7  # the share of a core or of a queue that is planned for: waiting times grow steeply beyond
BROKER: Final = "RabbitMQ"
DATABASE: Final = "MongoDB"
MOST: Final = 10_000_000  # of anything, each second
_LIMIT: Final = 1 << 20  # bytes of a file of costs
_MICRO: Final = 1e-6
_LONGEST: Final = 86_400  # seconds that a simulation follows


class Unusable(ValueError):
    """The file holds no costs."""


Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Some = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Microseconds of CPU for one job: in our own process, in RabbitMQ, in MongoDB."""

    ours: Positive
    rabbitmq: Some = 0.0
    mongod: Some = 0.0


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured, and on which `machine`.

    `publish` is a mail by `send_many`, `mail` its way through a send worker, `request` an open or a click at the
    gateway, `event` the same through a track worker. `queue` is the most that one queue was seen to take in a second.
    """

    machine: str
    publish: Cost
    mail: Cost
    request: Cost
    event: Cost
    queue: Positive


@dataclass(frozen=True, slots=True)
class Load:
    """What arrives each second, on average."""

    mails: float
    opens: float = 0.0
    clicks: float = 0.0

    @property
    def events(self) -> float:
        """Opens and clicks."""
        return self.opens + self.clicks


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of program: `work` jobs a second keep `cores` busy. `processes` is None for a server."""

    name: str
    work: float
    cores: float
    processes: int | None


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Something of which there is one: it is as full as planned (BUSY) at so many `times` the load."""

    name: str
    times: float
    advice: str


@dataclass(frozen=True, slots=True)
class Wait:
    """What a peak does to a queue: the longest time that a job waits, and when it is empty again; both in seconds."""

    queue: str
    longest: float
    over: float


def read_costs(file: Path | None = None) -> Costs:
    """The costs that came with this version, or those of a `bench.json`. Raises Unusable, and OSError."""
    if file is None:
        raw = (files("preklic_workers") / "capacity.json").read_bytes()
    elif file.stat().st_size > _LIMIT:
        raise Unusable(f"{file} is larger than {_LIMIT:,} bytes")
    else:
        raw = file.read_bytes()
    try:
        return msgspec.convert(msgspec.json.decode(raw)["costs"], Costs)
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise Unusable(f"no costs in there: {error}") from None


def parts(load: Load, costs: Costs) -> list[Part]:
    """All programs, each with what it has to do."""
    at_broker = load.mails * (costs.publish.rabbitmq + costs.mail.rabbitmq)
    at_broker += load.events * (costs.request.rabbitmq + costs.event.rabbitmq)
    in_database = load.mails * costs.mail.mongod + load.events * costs.event.mongod
    return [
        _workers("website (publishing)", load.mails, costs.publish),
        _workers("worker send", load.mails, costs.mail),
        _workers("gateway", load.events, costs.request),
        _workers("worker track", load.events, costs.event),
        Part(BROKER, load.mails + load.events, at_broker * _MICRO, None),
        Part(DATABASE, load.mails + load.events, in_database * _MICRO, None),
    ]


def _workers(name: str, work: float, cost: Cost) -> Part:
    return Part(name, work, work * cost.ours * _MICRO, _processes(work, cost))


def _processes(work: float, cost: Cost) -> int:
    return math.ceil(work * cost.ours * _MICRO / BUSY)


def ceilings(load: Load, costs: Costs, cores: int) -> list[Ceiling]:
    """What there is one of, the first to be full first, on servers of so many `cores` each. Workers are no ceiling."""
    busy = {part.name: part.cores for part in parts(load, costs)}
    there = [
        (
            f"{DATABASE}'s primary",
            busy[DATABASE] / cores,
            "more cores; then cells: persons by their hash, a set for each",
        ),
        (f"{BROKER}'s node", busy[BROKER] / cores, "a node whose cores are its own; then cells"),
        ("the queue send.bulk", load.mails / costs.queue, "cells: one queue is one process of the broker"),
        ("the queue track", load.events / costs.queue, "cells: one queue is one process of the broker"),
    ]
    found = [Ceiling(name, BUSY / share, advice) for name, share, advice in there if share]
    return sorted(found, key=lambda ceiling: ceiling.times)


def peak(load: Load, costs: Costs, factor: float, seconds: int) -> list[Wait]:
    """What `factor` times the load for so many seconds does to the queues, with the processes of `parts`."""
    rows = [("send.bulk", load.mails, costs.mail), ("track", load.events, costs.event)]
    return [
        Wait(queue, *_worst(list(waits(rate, _processes(rate, cost) / (cost.ours * _MICRO), factor, seconds))))
        for queue, rate, cost in rows
        if rate
    ]


def waits(rate: float, served: float, factor: float, seconds: int) -> Iterator[float]:
    """Second by second, how long a job that arrives then waits: first the peak, then the usual rate until it is over.

    >>> list(waits(10, 20, 3, 2))
    [0.5, 1.0, 0.5, 0.0]
    """
    behind = 0.0
    for second in range(_LONGEST):
        behind = max(0.0, behind + (rate * factor if second < seconds else rate) - served)
        yield behind / served
        if second >= seconds and not behind:
            return


def _worst(found: list[float]) -> tuple[float, float]:
    return max(found), float(len(found) - 1 if any(found) else 0)
