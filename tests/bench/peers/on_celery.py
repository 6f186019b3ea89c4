"""Celery prefork on quorum queues. `python -m bench.peers.on_celery fill KIND N`, or `... work CHILDREN`."""

import smtplib
import sys
from typing import Any

from celery import Celery
from pymongo import MongoClient

from bench.peers.jobs import KINDS
from bench.peers.letter import BOUNCE, as_bytes, as_message, compile_templates
from bench.peers.place import place
from bench.peers.progress import Progress
from bench.peers.recorded import CONCERN, sent

HERE = place()
compile_templates(HERE.templates)
app = Celery("bench", broker=HERE.amqp)
app.conf.update(
    task_default_queue=HERE.queue,
    task_default_queue_type="quorum",
    broker_native_delayed_delivery_queue_type="classic",
    broker_connection_retry_on_startup=True,
    # As safe as it goes: an unfinished task is delivered again.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=32,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
)
progress = Progress(HERE.progress)
held: dict[str, Any] = {}


def _smtp() -> smtplib.SMTP:
    """One connection for each child, kept."""
    if "smtp" not in held:
        held["smtp"] = smtplib.SMTP("127.0.0.1", HERE.smtp, local_hostname="bench.test")
    return held["smtp"]


def _messages() -> Any:
    if "mongo" not in held:
        held["mongo"] = MongoClient(HERE.mongo, **CONCERN)
    return held["mongo"][HERE.database].messages


@app.task(name="noop")
def noop(id: str) -> None:  # noqa: A002
    progress.tick()


@app.task(name="send_message")
def send_message(id: str, to: str, data: dict[str, Any]) -> None:  # noqa: A002
    _smtp().send_message(as_message(HERE.templates, id, to, data), BOUNCE, [to])
    _messages().insert_one(sent(id, to))


@app.task(name="send_bytes")
def send_bytes(id: str, to: str, data: dict[str, Any]) -> None:  # noqa: A002
    _smtp().sendmail(BOUNCE, [to], as_bytes(HERE.templates, id, to, data))
    _messages().insert_one(sent(id, to))


def fill(kind: str, count: int) -> None:
    task = app.tasks[kind]
    with app.producer_pool.acquire(block=True) as producer:
        for job in KINDS[kind](count):
            task.apply_async(kwargs=job, producer=producer)


def work(children: str) -> None:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    app.worker_main(["worker", "--pool=prefork", f"--concurrency={children}", *quiet])


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(sys.argv[2], int(sys.argv[3]))
    else:
        work(sys.argv[2])
