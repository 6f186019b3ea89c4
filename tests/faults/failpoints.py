"""Fail points by name, put on from outside by the test's own worker program: production code has none of them.

`<point>:<action>:<passage>` says what happens at which passage of a point, e.g. `gate_sent:kill:37`. A worker is told
by the environment `PREKLIC_TEST_FAULT` (several, with blanks between) or later by a line `arm ...` on its pipe.

- `kill`: SIGKILL to itself; `freeze`: SIGSTOP to itself, until somebody sends SIGCONT;
- `stall`: everything in the process stands still for a moment; `drop`: its connections to the broker break;
- `away`: the store raises `Unavailable`, whatever became of the write.

What a worker does at a point is noted in the file `PREKLIC_TEST_TOLD`, and so is what `witnesses` see. The points of
scheduled mails are passed by those alone, so no storm of faults draws them (`TIMED`).
"""

import asyncio
import datetime as dt
import faulthandler
import functools
import inspect
import json
import os
import random
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from preklic_producers.outbox import Outbox
from preklic_shared.topology import DEAD, RETRY
from preklic_workers import revoke, settle
from preklic_workers.engine import Engine
from preklic_workers.intake import Intake
from preklic_workers.mailing import Mailer
from preklic_workers.smtp.conversation import Accepted, Connection
from preklic_workers.store import Claimed, GatePassed, Unavailable, claims, message_states, person_docs
from preklic_workers.store.events import Events
from preklic_workers.store.gate import Gate
from preklic_workers.store.messages import Messages
from preklic_workers.store.mongo import Collection, Mongo
from preklic_workers.store.settlements import Settlements
from preklic_workers.store.timed import TimedMails
from preklic_workers.store.withdrawals import Withdrawals

FAULT: Final = "PREKLIC_TEST_FAULT"
TOLD: Final = "PREKLIC_TEST_TOLD"
LEASE: Final = "PREKLIC_TEST_LEASE"
CLOCK: Final = "PREKLIC_TEST_CLOCK"
NAMES: Final = frozenset({FAULT, TOLD, LEASE, CLOCK})
# The roles that pass a point, the most telling first.
ROLES: Final[Mapping[str, str]] = {
    "delivered": "send",
    "claimed": "send",
    "rcpt_ok": "send",
    "gate_sent": "send",
    "gate_committed": "send",
    "seen_354": "send",
    "mid_body": "send",
    "after_dot": "send",
    "read_250": "send",
    "settle_sent": "send",
    "settle_intended": "send",
    "settle_committed": "send",
    "ack_queued": "send",
    "retry_published": "send",
    "dead_published": "send",
    "outbox_written": "gateway",
    "withdrawal_between": "revoke",
    "drain": "revoke",
    "batch_half": "track",
}
TIMED: Final[Mapping[str, str]] = {"timed_noted": "send", "timed_kept": "send", "timed_brought": "campaign"}
ACTIONS: Final = frozenset({"kill", "freeze", "stall", "drop", "away"})
# Where the store may be away: a call that may raise `Unavailable` ends here.
STORE_POINTS: Final = frozenset(
    {
        "claimed",
        "gate_sent",
        "gate_committed",
        "settle_sent",
        "settle_intended",
        "settle_committed",
        "withdrawal_between",
        "drain",
        "batch_half",
    }
)
ON_ITS_WAY: Final = 0.001  # seconds after which a write has left this process
_STALLS: Final = (0.2, 1.8)  # seconds; law 1c gives up an answer of the gate that is 2 s old

Wrapper = Callable[..., Any]


class NoSuchPoint(ValueError):
    """The fault names a point, action or passage that there is not."""


@dataclass
class Armed:
    """What happens at a point after `left` more passages."""

    action: str
    left: int


def parse(text: str) -> tuple[str, Armed]:
    """`gate_sent:kill:37` as a point and what happens there. Raises NoSuchPoint.

    >>> parse("gate_sent:kill:37")
    ('gate_sent', Armed(action='kill', left=37))
    """
    point, _, rest = text.partition(":")
    action, _, passage = rest.partition(":")
    if point not in {*ROLES, *TIMED} or action not in ACTIONS or not passage.isdigit() or int(passage) < 1:
        raise NoSuchPoint(f"{text}: <point>:<action>:<passage from 1 on>")
    if action == "away" and point not in STORE_POINTS:
        raise NoSuchPoint(f"{text}: the store is not asked there")
    return point, Armed(action, int(passage))


class Faults:
    """The fail points of this process: what is armed, what broke, and what is told to the file `told`."""

    def __init__(self, told: str | None) -> None:
        self._told = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if told else None
        self._armed: dict[str, Armed] = {}
        self._transports: weakref.WeakSet[Any] = weakref.WeakSet()
        self._cut = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hearing: dict[str, Callable[[str], None]] = {}

    def hear(self, word: str, does: Callable[[str], None]) -> None:
        """What a further command of the pipe does, on the loop."""
        self._hearing[word] = does

    def arm(self, text: str) -> None:
        """Let something happen at a point. Raises NoSuchPoint."""
        point, armed = parse(text)
        self._armed[point] = armed

    def obey(self, line: str) -> None:
        """One command of the pipe: `arm <fault>`, `disarm`, `drop`, `cut` (no broker until), `mend`, `stacks`."""
        word, _, rest = line.partition(" ")
        match word:
            case "arm":
                self.arm(rest)
            case "disarm":
                self._armed.clear()
            case "cut" | "mend":
                self._cut = word == "cut"
            case "stacks":
                self.show_stacks()
        if word in {"drop", "cut"}:
            self._on_loop(self.drop)
        if word in self._hearing:
            self._on_loop(self._hearing[word], rest)

    def _on_loop(self, does: Callable[..., None], *args: str) -> None:
        """What belongs to the loop is not touched by the thread that listens."""
        if self._loop is not None:
            with suppress(RuntimeError):  # closed: it is ending
                self._loop.call_soon_threadsafe(does, *args)

    def due(self, point: str) -> bool:
        """Count a passage; whether something happens at this one."""
        armed = self._armed.get(point)
        if armed is None:
            return False
        armed.left -= 1
        return armed.left <= 0

    def act(self, point: str) -> None:
        """Do what is armed at the point, and disarm it. Raises Unavailable for `away`."""
        armed = self._armed.pop(point, None)
        if armed is None:
            return
        self.tell("fired", point=point, action=armed.action, at=time.time_ns())
        match armed.action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "stall":
                time.sleep(random.uniform(*_STALLS))
            case "drop":
                self.drop()
            case "away":
                raise Unavailable("planted")

    def drop(self) -> None:
        """Break every connection to the broker, as a network does."""
        for transport in list(self._transports):
            sock = getattr(transport, "_sock", None)
            if sock is not None:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def show_stacks(self) -> None:
        """Where every task and thread of this process stands, on standard error: for one that does not come to rest."""
        faulthandler.dump_traceback(file=sys.stderr)
        for task in asyncio.all_tasks(self._loop) if self._loop else ():
            sys.stderr.write(f"{task.get_name()}: {' > '.join(awaited(task.get_coro()))}\n")
        sys.stderr.flush()

    def connected(self, transport: Any) -> None:
        """Note a new connection to the broker; break it at once while the process is cut off."""
        self._loop = asyncio.get_running_loop()
        self._transports.add(transport)
        if self._cut:
            self.drop()

    def tell(self, what: str, **fields: object) -> None:
        """Write one line, whole: it stays when the process is killed in the next moment."""
        if self._told is not None:
            line = json.dumps({"what": what, "pid": os.getpid(), **fields})
            os.write(self._told, line.encode() + b"\n")


def installed(environ: Mapping[str, str], commands: int | None = None) -> Faults:
    """Put all points on and arm those that the environment names; `commands` is a pipe to read further ones from.

    Raises AttributeError when a point's place is not there any more, NoSuchPoint for a fault that names none.
    """
    faults = Faults(environ.get(TOLD))
    if LEASE in environ:
        hasten(float(environ[LEASE]))
    if CLOCK in environ:
        put_forward(float(environ[CLOCK]))
    _points_of_sending(faults)
    _points_of_settling(faults)
    _points_elsewhere(faults)
    for text in environ.get(FAULT, "").split():
        faults.arm(text)
    if commands is not None:
        threading.Thread(target=_listen, args=(faults, commands), name="fault commands", daemon=True).start()
    return faults


def hasten(seconds: float) -> None:
    """Shorter leases for short runs: everything that waits for them waits less. The rules are the same."""
    lease = dt.timedelta(seconds=seconds)
    for module, name, value in (
        (claims, "LEASE", lease),
        (message_states, "LEASE", lease),
        (person_docs, "UNTIL", 2 * lease),
    ):
        present(module, name)
        setattr(module, name, value)


def put_forward(seconds: float) -> None:
    """What this process takes for the server's time is so much later: what waits for a time of day comes now."""
    original = present(Mongo, "now")

    def later(self: Mongo) -> dt.datetime:
        return original(self) + dt.timedelta(seconds=seconds)

    Mongo.now = later


def _points_of_sending(faults: Faults) -> None:
    _before(faults, Engine, "_on_message", "delivered")
    _after(faults, Messages, "claim", "claimed", lambda answer, *_: isinstance(answer, Claimed))
    _after(faults, Connection, "envelope", "rcpt_ok", lambda answer, *_: answer is None)
    _during(faults, Collection, "bulk", "gate_sent", lambda _self, ops, **_more: is_gate(ops))
    _after(faults, Gate, "pass_through", "gate_committed", lambda answer, *_: isinstance(answer, GatePassed))
    _during(faults, Connection, "_body", "after_dot")
    _halved_body(faults)
    _before(faults, Connection, "_body", "seen_354")
    _after(faults, Connection, "_body", "read_250", lambda answer, *_: isinstance(answer, Accepted))


def _points_of_settling(faults: Faults) -> None:
    _during(faults, Settlements, "write", "settle_sent")
    _after(faults, Settlements, "_intend", "settle_intended", lambda _answer, _self, sent, *_: bool(sent))
    _after(faults, Settlements, "write", "settle_committed")
    _after(faults, Intake, "ack", "ack_queued")
    _after(
        faults, settle, "publish_held", "retry_published", lambda done, _, held, *__: done and held.exchange == RETRY
    )
    _after(faults, settle, "publish_held", "dead_published", lambda done, _, held, *__: done and held.exchange == DEAD)


def _points_elsewhere(faults: Faults) -> None:
    _after(faults, Outbox, "put", "outbox_written")
    _after(faults, Withdrawals, "_close", "withdrawal_between")
    _before(faults, revoke.Revoke, "_drain", "drain", lambda _self, _subject, captured: bool(captured))
    _halved_batch(faults)
    _after(faults, TimedMails, "_scheduled", "timed_noted")
    _after(faults, TimedMails, "put", "timed_kept")
    _after(faults, Mailer, "publish_again", "timed_brought")


def is_gate(ops: Any) -> bool:
    """Whether these writes are gates: pipelines that open hand-overs, first or behind a witness."""
    updates = [getattr(op, "_doc", None) for op in ops[:2]]
    return any(isinstance(update, list) and "open" in update[0].get("$set", ()) for update in updates)


def present(owner: Any, name: str) -> Any:
    """What is there under that name. Raises AttributeError: a point that nobody passes would prove nothing."""
    return inspect.getattr_static(owner, name)


def _always(*_: object, **__: object) -> bool:
    return True


def _before(faults: Faults, owner: Any, name: str, point: str, when: Wrapper = _always) -> None:
    original = present(owner, name)

    def passed(args: tuple[Any, ...], more: dict[str, Any]) -> None:
        if when(*args, **more) and faults.due(point):
            faults.act(point)

    async def awaiting(*args: Any, **more: Any) -> Any:
        passed(args, more)
        return await original(*args, **more)

    def calling(*args: Any, **more: Any) -> Any:
        passed(args, more)
        return original(*args, **more)

    setattr(owner, name, functools.wraps(original)(awaiting if inspect.iscoroutinefunction(original) else calling))


def _after(faults: Faults, owner: Any, name: str, point: str, when: Wrapper = _always) -> None:
    """Pass the point when `when(answer, *args)`."""
    original = present(owner, name)

    def passed(answer: Any, args: tuple[Any, ...]) -> Any:
        if when(answer, *args) and faults.due(point):
            faults.act(point)
        return answer

    async def awaiting(*args: Any, **more: Any) -> Any:
        return passed(await original(*args, **more), args)

    def calling(*args: Any, **more: Any) -> Any:
        return passed(original(*args, **more), args)

    setattr(owner, name, functools.wraps(original)(awaiting if inspect.iscoroutinefunction(original) else calling))


def _during(faults: Faults, owner: Any, name: str, point: str, when: Wrapper = _always) -> None:
    """Pass the point when the call's bytes are on their way and its answer is not awaited yet."""
    original = present(owner, name)

    @functools.wraps(original)
    async def passing(*args: Any, **more: Any) -> Any:
        if not when(*args, **more) or not faults.due(point):
            return await original(*args, **more)
        call = asyncio.ensure_future(original(*args, **more))
        await asyncio.sleep(ON_ITS_WAY)
        try:
            faults.act(point)
        finally:
            answer = await call
        return answer

    setattr(owner, name, passing)


def _halved_body(faults: Faults) -> None:
    original = present(Connection, "_body")

    @functools.wraps(original)
    async def body(self: Connection, dialogue: Any, stuffed: bytes, *more: Any) -> Any:
        if not faults.due("mid_body"):
            return await original(self, dialogue, stuffed, *more)
        dialogue.write(stuffed[: len(stuffed) // 2], 0)
        await asyncio.sleep(ON_ITS_WAY)
        faults.act("mid_body")
        return await original(self, dialogue, stuffed[len(stuffed) // 2 :], *more)

    Connection._body = body


def _halved_batch(faults: Faults) -> None:
    original = present(Events, "_record_group")

    @functools.wraps(original)
    async def record(self: Events, events: list[Any]) -> list[Any]:
        half = len(events) // 2
        if not half or not faults.due("batch_half"):
            return await original(self, events)
        first = await original(self, events[:half])
        faults.act("batch_half")
        return [*first, *await original(self, events[half:])]

    Events._record_group = record


def awaited(coroutine: Any) -> Iterator[str]:
    """The chain of what a coroutine waits for."""
    while (code := getattr(coroutine, "cr_code", None)) is not None:
        frame = coroutine.cr_frame
        yield f"{code.co_qualname}:{frame.f_lineno if frame else '-'}"
        coroutine = coroutine.cr_await
    yield type(coroutine).__name__


def _listen(faults: Faults, pipe: int) -> None:
    with os.fdopen(pipe, encoding="ascii") as lines:
        for line in lines:
            faults.obey(line.strip())
