"""Workers that come and go, and two releases at once: nothing is cut off, lost or dead for it."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from preklic_shared import wire
from preklic_shared.ids import new_id
from preklic_stack.household import wait_ready
from preklic_stack.ports import free_ports
from preklic_workers import joblog, judging
from queueing import HOUR, now, track
from waiting import auntil, until

HERE = Path(__file__).parent
STOCK = [sys.executable, "-c", "from preklic_shared.command import main; main()", "worker", "track"]
NEWER = [sys.executable, str(HERE / "newer_worker.py"), "worker", "track"]

Start = Callable[..., object]


@pytest.fixture
def start(processes, url, mongo_url, store, mongo_database, tmp_path):
    """Start a worker of the role `track`, which needs no keys, and wait until it takes jobs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREKLIC_")}
    given = {"AMQP_URL": url, "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database, "DRAIN_SECONDS": "60"}

    def started(port, argv):
        processes.ports.append(port)
        named = {f"PREKLIC_{name}": value for name, value in (given | {"METRICS_PORT": str(port)}).items()}
        child = processes.start("track", argv, env=kept | named, log=tmp_path / f"{port}.log")
        wait_ready(child, port)
        return child

    return started


def status(port, path):
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return answer.status
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


def newer(**changes):
    """The body of a job that only the next release knows, and its id."""
    body = json.loads(wire.encode(track(id=new_id()), "track"))
    body["kwargs"]["job"] |= {"v": 2, "device": "phone"} | changes
    return json.dumps(body).encode(), body["message_id"]


async def test_a_newer_job_waits_for_a_newer_worker_and_expires_without_one(rabbit, vhost, url, store, queues, start):
    # A busy machine makes the job older than the first tier: the next ones are as quick.
    quick = {"pattern": r"^retry\.(5s|30s|2m)$", "definition": {"message-ttl": 200}, "apply-to": "queues"}
    rabbit.management.call("PUT", f"policies/{vhost}/quick", quick)
    (waits, waiting), (late, over) = newer(), newer(at=now() - 2 * HOUR, expires=now() - HOUR)
    old_port, new_port = free_ports(2)
    old = start(old_port, STOCK)

    async def end_of(job):
        found = await store.messages.show(job) or {}
        return found.get("state"), found.get("reason")

    async def ended(job, *end):
        return await end_of(job) == end

    for body, job in ((waits, waiting), (late, over)):
        queues.put(body, message_id=job)
    await auntil(lambda: ended(over, "expired", "newer_version"), 10, "the late one has expired")
    until(lambda: parked(old_port) >= 2, 10, "the other one comes and goes")
    assert await end_of(waiting) == (None, None)
    account = await judging.read_account(store, url, None, patience=5)
    assert (account.logged, account.unaccounted, queues.ready("dead")) == (2, 0, 0)
    young = start(new_port, NEWER)
    assert old.stop() == 0
    # Whose mail it was nobody knows: read it was, and refused for that.
    await auntil(lambda: ended(waiting, "refused", "unknown"), 10, "the newer worker takes it up")
    # It takes what the older release publishes as well.
    older = track()
    queues.put(wire.encode(older, "track"), message_id=older.id)
    await auntil(lambda: ended(older.id, "refused", "unknown"), 10, "an older job is done, too")
    assert young.stop() == 0
    assert set(joblog.depths(url).values()) == {0}
    assert (await judging.read_account(store, url, None, patience=5)).unaccounted == 0


def parked(port):
    """How often a worker has put a newer version aside."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    counts = [line for line in text.splitlines() if "jobs_total" in line and 'reason="newer_version"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in counts if 'outcome="retrylater"' in line)


def test_a_worker_that_is_asked_to_end_finishes_and_one_asked_again_gives_back(queues, start, tmp_path):
    def worker(seconds):
        (port,) = free_ports(1)
        return port, start(port, [sys.executable, str(HERE / "slow_worker.py"), str(seconds), str(tmp_path)])

    port, child = worker(0.6)
    running, late = track(), track()
    queues.put(wire.encode(running, "track"))
    until((tmp_path / f"started-{running.id}").exists, 10, "a job runs")
    child.signal(signal.SIGTERM)
    until(lambda: status(port, "/readyz") == 503, 20, "it is not ready any more")
    assert status(port, "/healthz") == 200
    queues.put(wire.encode(late, "track"))
    # Twice at once, as a process group does, is once: the job ends, and is settled.
    child.signal(signal.SIGTERM)
    assert child.process.wait(10) == 0
    assert (tmp_path / f"ended-{running.id}").exists()
    assert (queues.ready("track"), (tmp_path / f"started-{late.id}").exists()) == (1, False)

    port, child = worker(3600)
    until((tmp_path / f"started-{late.id}").exists, 10, "the other job runs")
    child.signal(signal.SIGTERM)
    until(lambda: status(port, "/readyz") == 503, 20)
    time.sleep(1)  # what comes earlier is the same signal
    child.signal(signal.SIGTERM)
    assert child.process.wait(10) == 0
    assert not (tmp_path / f"ended-{late.id}").exists()
    until(lambda: queues.ready("track") == 1, 20, "the job is back in its queue")
