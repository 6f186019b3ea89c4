"""All services of a development stack at once, below one folder, and all of them gone afterwards."""

import fcntl
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TypeVar

from preklic_stack.children import Children
from preklic_stack.mailsink import MailSink, start_sink
from preklic_stack.mongo import Mongo, start_mongo
from preklic_stack.mongo_users import start_locked_mongo
from preklic_stack.rabbit import Rabbit, start_rabbit

T = TypeVar("T")
ENDING = (signal.SIGTERM, signal.SIGHUP)


class AlreadyRunning(Exception):
    """Another stack holds this folder."""


@dataclass
class Stack:
    """Running services. Start your own processes (workers, gateway) with `children`, logs below `run_dir`."""

    run_dir: Path
    children: Children
    rabbit: Rabbit
    mongo: Mongo
    sink: MailSink


def silent(_line: str) -> None:
    """Say nothing."""


@contextmanager
def running_stack(
    run_dir: Path,
    say: Callable[[str], None] = silent,
    *,
    members: int = 1,
    sink: Sequence[str] = (),
    locked: bool = False,
) -> Iterator[Stack]:
    """Start RabbitMQ, MongoDB and the sink side by side; stop them on the way out, whatever the way is.

    SIGTERM and SIGHUP become `SystemExit` meanwhile; a killed process's services are ended by its guard. Services given
    by `PREKLIC_AMQP_URL` and `PREKLIC_MONGO_URL` are used, not started. `say` gets a line per service. `members` of the
    replica set, and further options of the `sink`, are for those who break things on purpose. `locked`: MongoDB takes
    nobody without a password, and a household makes a user for each role.
    Raises `Missing`, `NotReady`, `AlreadyRunning`.
    """
    run_dir = run_dir.resolve()
    with _held(run_dir), _signals_as_exit(), Children() as children:
        start = start_locked_mongo if locked else start_mongo
        yield _start(children, run_dir, say, lambda: start(children, run_dir / "mongo", members), sink)


def _start(
    children: Children, run_dir: Path, say: Callable[[str], None], start: Callable[[], Mongo], options: Sequence[str]
) -> Stack:
    with ThreadPoolExecutor(3) as pool:
        rabbit = pool.submit(_timed, "RabbitMQ", say, lambda: start_rabbit(children, run_dir / "rabbit"))
        mongo = pool.submit(_timed, "MongoDB", say, start)
        sink = pool.submit(_timed, "mail sink", say, lambda: start_sink(children, run_dir / "sink", *options))
    return Stack(run_dir, children, rabbit.result(), mongo.result(), sink.result())


def _timed(name: str, say: Callable[[str], None], start: Callable[[], T]) -> T:
    began = time.monotonic()
    service = start()
    say(f"{name} is ready ({time.monotonic() - began:.1f} s)")
    return service


@contextmanager
def _held(run_dir: Path) -> Iterator[None]:
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"a stack already runs below {run_dir}: stop it first") from None
        yield


@contextmanager
def _signals_as_exit() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        # A second signal must not cut the stopping short.
        for each in (*ENDING, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (*ENDING, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
