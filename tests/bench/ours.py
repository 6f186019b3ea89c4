"""Our side: real worker processes and a real gateway, as they are started in production."""

import sys
from collections.abc import Mapping
from functools import partial

from bench.contest import Consumers, Sprint
from bench.ground import OUR_DATABASE, Ground, ours, ours_environment
from bench.growth import Grown
from bench.house import House, house
from bench.lag import ToLedger, at_work
from bench.latency import ToData, ToRecord
from bench.life import Endurance, Idle
from bench.site import Site
from bench.theirs import SEALED_JOB
from preklic_stack.children import Child

LEDGER_DATABASE = f"{OUR_DATABASE}_ledger"
PREKLIC = [sys.executable, "-c", "import sys; from preklic_shared.cli import main; sys.exit(main())"]


def publish(ground: Ground, what: str) -> Sprint:
    """`producer`: send_many with all it does; `broker`: what publishing alone costs."""
    home = house(ground)
    return Sprint(
        f"preklic-{what}",
        "send.bulk",
        lambda seconds: ours("publisher", what, str(seconds), str(SEALED_JOB)),
        partial(home.environment, "gateway"),
    )


def noop(ground: Ground, concurrency: int) -> Consumers:
    """The engine with a handler that does nothing, one process."""
    name = f"preklic-noop-{concurrency}"
    place = ground.place(name)

    def start() -> list[Child]:
        argv = ours("noop_worker", ground.amqp, place.progress, str(concurrency))
        return [ground.start(name, argv, house(ground).environment("track"))]

    def fill(count: int) -> None:
        ground.publish(house(ground).clicks(count))

    return Consumers(name, "track", 25_000, 1, fill, start, partial(ground.ticks, name), polite=True)


def workers(home: House, role: str, processes: int, more: Mapping[str, str] | None = None) -> list[Child]:
    """Real processes of one role, by our own command, with `more` settings."""
    argv = [*PREKLIC, "worker", role]
    env = home.environment(role) | dict(more or {})
    return [home.ground.start(f"preklic-{role}", argv, env) for _ in range(processes)]


def send(ground: Ground, processes: int, home: House | None = None) -> Consumers:
    """The send role as it is started in production."""
    name = f"preklic-send-{processes}"
    at = home or house(ground)
    return Consumers(
        name,
        "send.bulk",
        2500,
        processes,
        at.send_jobs,
        lambda: workers(at, "send", processes),
        ground.accepted,
        polite=True,
    )


def grown(ground: Ground, messages: int | None) -> Grown:
    """The same in a database that holds so many messages and events already (None: as many as a long run)."""
    home = house(ground, f"{OUR_DATABASE}_{'many' if messages is None else 'few'}")
    return Grown(home, messages, send(ground, 2, home))


def signed(ground: Ground, processes: int) -> Consumers:
    """The same with a DKIM key (RSA-2048) in its key directory, as in production."""
    home = house(ground)
    keys = home.with_dkim()

    def start() -> list[Child]:
        return workers(home, "send", processes, {"PREKLIC_KEY_DIR": str(keys)})

    name = f"preklic-signed-{processes}"
    return Consumers(name, "send.bulk", 2500, processes, home.send_jobs, start, ground.accepted, polite=True)


def ungated(ground: Ground, processes: int) -> Consumers:
    """The same worker with a store that says yes to everything and writes nothing."""
    name = f"preklic-ungated-{processes}"

    def start() -> list[Child]:
        env = house(ground).environment("send")
        return [ground.start(name, ours("ungated_worker"), env) for _ in range(processes)]

    return Consumers(name, "send.bulk", 3500, processes, house(ground).send_jobs, start, ground.accepted, polite=True)


def recorded_in_ledger(ground: Ground, processes: int) -> Consumers:
    """The send role beside the role `ledger`: a mail counts when what became of it has its place there."""
    home = house(ground, LEDGER_DATABASE)
    ledger = ground.raw(LEDGER_DATABASE).ledger

    def start() -> list[Child]:
        sequencer = workers(home, "ledger", 1)
        at_work(home)  # what its start costs is no mail's cost
        return [*workers(home, "send", processes), *sequencer]

    def gauge() -> int:
        # MongoDB counts: to read the records fifty times a second would cost what is measured here.
        last = ledger.find_one({}, {"count": {"$size": "$records"}}, sort=[("_id", -1)])
        return last["_id"] + last["count"] if last else 0

    name = f"preklic-ledger-{processes}"
    return Consumers(name, "send.bulk", 2500, processes, home.send_jobs, start, gauge, polite=True)


def leafless(ground: Ground, processes: int) -> Consumers:
    """The send role whose settlements tell the ledger nothing, and no role `ledger`."""
    home = house(ground, LEDGER_DATABASE)
    name = f"preklic-leafless-{processes}"

    def start() -> list[Child]:
        return [ground.start(name, ours("leafless_worker"), home.environment("send")) for _ in range(processes)]

    return Consumers(name, "send.bulk", 2500, processes, home.send_jobs, start, ground.accepted, polite=True)


def lag(ground: Ground) -> ToLedger:
    """Records to their places in the ledger."""
    home = house(ground, LEDGER_DATABASE)
    return ToLedger("preklic-lag", home, lambda: workers(home, "ledger", 1))


def track(ground: Ground, processes: int) -> Consumers:
    """The track role; its people permit that clicks are counted."""
    home = house(ground)

    def fill(count: int) -> None:
        ground.publish(home.clicks(count))

    gauge = partial(ground.documents, OUR_DATABASE, "events")
    return Consumers(
        f"preklic-track-{processes}",
        "track",
        30_000,
        processes,
        fill,
        lambda: workers(home, "track", processes),
        gauge,
        polite=True,
    )


def click(ground: Ground) -> Sprint:
    """The gateway's click, answered when the broker has confirmed the event."""
    home = house(ground)
    site = _gateway(ground, home)
    return Sprint("gateway", "track", site.load(home.links(500)), partial(ours_environment, ground, {}), site.start)


def payment(ground: Ground) -> ToData:
    """A payment mail behind bulk mail, two processes."""
    home = house(ground)
    return ToData("payment", home, lambda: workers(home, "send", 2))


def recorded(ground: Ground) -> ToRecord:
    """A click among very many, one gateway and two track workers: it brings more than one records beside it."""
    home = house(ground)
    return ToRecord("recorded", home, _gateway(ground, home), lambda: workers(home, "track", 2))


def _gateway(ground: Ground, home: House) -> Site:
    env = home.environment("gateway") | {"PREKLIC_OUTBOX": str(ground.run_dir / "outbox.sqlite")}
    return Site(ground, "gateway", lambda port: [*PREKLIC, "gateway", "--host", "127.0.0.1", "--port", str(port)], env)


def idle(ground: Ground) -> Idle:
    """A send worker without jobs."""
    return Idle("preklic-idle", "send.bulk", lambda: workers(house(ground), "send", 1)[0])


def endurance(ground: Ground) -> Endurance:
    """A track worker through very many jobs."""
    home = house(ground)
    return Endurance(
        "preklic-endurance",
        "track",
        lambda count: ground.publish(home.clicks(count)),
        lambda: workers(home, "track", 1)[0],
        partial(ground.documents, OUR_DATABASE, "events"),
    )
