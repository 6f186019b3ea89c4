"""The peers: who they are, how each is filled and started. Fair: see docs/bench.md."""

import json
from functools import partial

from bench.contest import Consumers, Sprint
from bench.ground import PEER_DATABASE, PEERS, Ground, ours_environment, peer
from bench.peers.jobs import events
from bench.site import Site
from preklic_shared.publication import Publication
from preklic_stack.children import Child

CELERY_CHILDREN = 6
SEALED_JOB = 1500  # octets of a send job of ours, which raw pika publishes as well


def _fill(ground: Ground, module: str, name: str, kind: str, count: int) -> None:
    ground.run(name, peer(module, "fill", kind, str(count)), ground.peer_environment(ground.place(name)))


def celery(ground: Ground, kind: str, guess: int) -> Consumers:
    """Prefork, one parent that consumes and `CELERY_CHILDREN` children."""
    name = f"celery-{kind}"
    place = ground.place(name)

    def start() -> list[Child]:
        return [ground.start(name, peer("on_celery", "work", str(CELERY_CHILDREN)), ground.peer_environment(place))]

    gauge = partial(ground.ticks, name) if kind == "noop" else ground.accepted
    fill = partial(_fill, ground, "on_celery", name, kind)
    return Consumers(name, place.queue, guess, 1, fill, start, gauge, partial(ground.forget, PEER_DATABASE))


def dramatiq(ground: Ground, kind: str, guess: int, *, processes: int, threads: int) -> Consumers:
    """Its own command line, async actors for `noop` and `send_bytes`, a sync one for `track`."""
    name = f"dramatiq-{kind}"
    place = ground.place(name)
    queue = f"{place.queue}.{'send' if kind == 'send_bytes' else kind}"
    counts = ["--processes", str(processes), "--threads", str(threads)]
    argv = [str(PEERS), "-m", "dramatiq", "bench.peers.on_dramatiq", *counts, "--queues", queue]

    def start() -> list[Child]:
        return [ground.start(name, argv, ground.peer_environment(place))]

    gauges = {
        "noop": partial(ground.ticks, name),
        "send_bytes": ground.accepted,
        "track": partial(ground.documents, PEER_DATABASE, "events"),
    }
    fill = partial(_fill, ground, "on_dramatiq", name, kind)
    after = partial(ground.forget, PEER_DATABASE)
    return Consumers(name, queue, guess, processes, fill, start, gauges[kind], after)


def faststream(ground: Ground, kind: str, guess: int, *, processes: int) -> Consumers:
    """One asyncio process each."""
    name = f"faststream-{kind}"
    place = ground.place(name)

    def start() -> list[Child]:
        env = ground.peer_environment(place)
        return [ground.start(name, peer("on_faststream", "work", kind), env) for _ in range(processes)]

    gauge = partial(ground.ticks, name) if kind == "noop" else ground.accepted
    fill = partial(_fill, ground, "on_faststream", name, kind)
    after = partial(ground.forget, PEER_DATABASE)
    return Consumers(name, f"{place.queue}.{kind}", guess, processes, fill, start, gauge, after)


def pika_track(ground: Ground, guess: int, *, processes: int) -> Consumers:
    """Batches and insert_many: the ceiling of what these packages do for events."""
    name = "pika-track"
    place = ground.place(name)

    def start() -> list[Child]:
        env = ground.peer_environment(place)
        return [ground.start(name, peer("on_pika", "work", "track"), env) for _ in range(processes)]

    gauge = partial(ground.documents, PEER_DATABASE, "events")

    def fill(count: int) -> None:
        _fill(ground, "on_pika", name, "track", 0)
        bodies = ((job["id"], json.dumps(job).encode()) for job in events(count))
        ground.publish(Publication("", place.queue, body, number, "track") for number, body in bodies)

    after = partial(ground.forget, PEER_DATABASE)
    return Consumers(name, place.queue, guess, processes, fill, start, gauge, after)


def pika_publish(ground: Ground) -> Sprint:
    """A confirm for each message, one after the other."""
    place = ground.place("pika-publish")
    return Sprint(
        "pika-publish",
        place.queue,
        lambda seconds: peer("on_pika", "publish", str(seconds), str(SEALED_JOB)),
        lambda: ground.peer_environment(place),
    )


def dramatiq_publish(ground: Ground) -> Sprint:
    """Stock dramatiq with `confirm_delivery`, on a quorum queue."""
    place = ground.place("dramatiq-publish")
    return Sprint(
        "dramatiq-publish",
        f"{place.queue}.noop",
        lambda seconds: peer("on_dramatiq", "publish", str(seconds), str(SEALED_JOB)),
        lambda: ground.peer_environment(place),
    )


def raw_smtp(ground: Ground) -> Sprint:
    """32 aiosmtplib sessions that send the same bytes: the ceiling of one process."""
    place = ground.place("raw-smtp")
    return Sprint(
        "raw-smtp", "", lambda seconds: peer("raw_smtp", str(seconds)), lambda: ground.peer_environment(place)
    )


def empty_site(ground: Ground) -> Sprint:
    """Starlette with one route that answers 204."""
    place = ground.place("starlette")
    site = Site(ground, "starlette", lambda port: peer("empty_site", str(port)), ground.peer_environment(place))
    return Sprint("starlette", "", site.load(["/c/nothing"]), partial(ours_environment, ground, {}), site.start)
