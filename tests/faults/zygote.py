"""A fork server: one process that has imported everything forks `preklic ...` in milliseconds.

A Python that starts costs a second of CPU; a run with a thousand kills has none to spare. What is forked runs the
command line of `preklic` as it is, with the fail points and witnesses of this package put on from outside.

`python -m faults.zygote SOCKET` speaks JSON lines. In: `{"op": "fork", "id", "argv", "env", "log"}` and `{"op": "tell",
"pid", "line"}`. Out: `{"id", "pid"}`, and `{"pid", "event": "exited"|"stopped"|"continued", "status"}` for each child.
"""

import gc
import itertools
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from faults import failpoints, witnesses

# What the forked commands need stands here, so that each finds it imported.
from preklic_producers import commands_gateway
from preklic_producers.gateway import server
from preklic_shared import cli
from preklic_stack.children import Children
from preklic_workers import commands_dead, commands_look, commands_replay, commands_worker

WARM: Final = (commands_gateway, server, commands_dead, commands_look, commands_replay, commands_worker)
_GONE: Final = 30  # seconds for a command to come to its end


class Server:
    """The forking side. Its children stay in its process group: who ends the group ends them all."""

    def __init__(self, driver: socket.socket) -> None:
        self._driver = driver
        self._pipes: dict[int, int] = {}
        self._woken, waker = os.pipe()
        for end in (self._woken, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until the driver is gone; then every child is killed."""
        selector = selectors.DefaultSelector()
        selector.register(self._driver, selectors.EVENT_READ)
        selector.register(self._woken, selectors.EVENT_READ)
        pending = b""
        while True:
            for key, _ in selector.select():
                if key.fd == self._woken:
                    self._children_changed()
                    continue
                data = self._driver.recv(1 << 20)
                if not data:
                    self._end()
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))

    def _obey(self, request: dict[str, Any]) -> None:
        if request["op"] == "fork":
            self._fork(request)
        elif request["op"] == "tell" and request["pid"] in self._pipes:
            with suppress(OSError):
                os.write(self._pipes[request["pid"]], request["line"].encode() + b"\n")

    def _fork(self, request: dict[str, Any]) -> None:
        commands, teller = os.pipe()
        os.set_blocking(teller, False)  # nobody waits for one that is stopped
        pid = os.fork()
        if pid == 0:
            os.close(teller)
            self._driver.close()
            become(request, commands)
        os.close(commands)
        self._pipes[pid] = teller
        self._answer({"id": request["id"], "pid": pid})

    def _children_changed(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
                if pid == 0:
                    return
                self._changed(pid, status)

    def _changed(self, pid: int, status: int) -> None:
        if os.WIFSTOPPED(status):
            self._answer({"pid": pid, "event": "stopped", "status": 0})
        elif os.WIFCONTINUED(status):
            self._answer({"pid": pid, "event": "continued", "status": 0})
        else:
            os.close(self._pipes.pop(pid))
            self._answer({"pid": pid, "event": "exited", "status": os.waitstatus_to_exitcode(status)})

    def _answer(self, line: Mapping[str, object]) -> None:
        with suppress(OSError):
            self._driver.sendall(json.dumps(line).encode() + b"\n")

    def _end(self) -> None:
        for pid in self._pipes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        sys.exit(0)


def become(request: Mapping[str, Any], commands: int) -> None:
    """In the child: take the environment and the log of the request, and run its command. Never returns."""
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _redirect(request["log"], request["errors"])
        witnesses.put_on(failpoints.installed(request["env"], commands))
        if request["env"].get("GUARDS_OFF"):
            without_guards(request["env"]["GUARDS_OFF"].split(","))
        os.environ.clear()
        # The settings refuse a name that they do not know, and they know no fault.
        os.environ.update({name: value for name, value in request["env"].items() if name not in failpoints.NAMES})
        status = cli.run(request["argv"])
    except BaseException:  # noqa: BLE001 - it ends here, whatever it was
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def without_guards(names: Iterable[str]) -> None:
    """A test is run to see it fail: this process does without these guards, too."""
    switch_off = import_module("guards").switch_off  # it knows pytest, which a fault run does not need
    patch = import_module("pytest").MonkeyPatch()
    for name in names:
        switch_off(name, patch)


def _redirect(log: str, errors: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    out, err = (os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for name in (log, errors))
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(err, 2)


@dataclass(eq=False)
class Forked:
    """A forked process as its driver sees it. `status` is its exit code once it has ended, negative for a signal."""

    name: str
    pid: int
    log: Path
    status: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    stopped: bool = False

    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.status is None

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM, wait, then SIGKILL; the exit status."""
        self.signal(signal.SIGTERM)
        if not self.ended.wait(seconds):
            self.signal(signal.SIGKILL)
            self.ended.wait(seconds)
        return -signal.SIGKILL if self.status is None else self.status

    def tail(self, lines: int = 15) -> str:
        """The end of its output, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Zygote:
    """The asking side. `changes` gets every forked process that stopped, went on or ended, with the word for it."""

    def __init__(self, children: Children, folder: Path) -> None:
        self.changes: SimpleQueue[tuple[Forked, str]] = SimpleQueue()
        self._folder = folder
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._asked: dict[int, tuple[str, Path, SimpleQueue[Forked]]] = {}
        self._forked: dict[int, Forked] = {}
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / "zygote.socket"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(place))
            listening.listen(1)
            listening.settimeout(_GONE)
            argv = [sys.executable, "-m", "faults.zygote", str(place)]
            # A withdrawal is a chain of writes: a run of them must not wait for the driver's few threads.
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MOTOR_MAX_WORKERS": "48"}
            self.process = children.start("zygote", argv, env=environment, log=folder / "zygote.log")
            self._server, _ = listening.accept()
        threading.Thread(target=self._listen, name="zygote", daemon=True).start()

    def fork(self, name: str, argv: Sequence[str], environment: Mapping[str, str], *, apart: bool = False) -> Forked:
        """Fork `preklic argv...`; its output goes to `<folder>/<name>.log`, errors `apart` to `<folder>/<name>.err`."""
        number, log, came = next(self._ids), self._folder / f"{name}.log", SimpleQueue[Forked]()
        errors = log.with_suffix(".err") if apart else log
        with self._lock:
            self._asked[number] = (name, log, came)
        request = {"op": "fork", "id": number, "argv": list(argv), "env": dict(environment)}
        self._ask(request | {"log": str(log), "errors": str(errors)})
        return came.get(timeout=_GONE)

    def tell(self, forked: Forked, line: str) -> None:
        """A command for the fail points of a process."""
        self._ask({"op": "tell", "pid": forked.pid, "line": line})

    def run(self, argv: Sequence[str], environment: Mapping[str, str], seconds: float = 120) -> tuple[int | None, str]:
        """Run a command to its end: its exit code (None: it was killed for taking too long), and what it printed."""
        name = f"command-{next(self._ids)}"
        forked = self.fork(name, argv, environment)
        if not forked.ended.wait(seconds):
            forked.signal(signal.SIGKILL)
            return None, forked.log.read_text(errors="replace")
        return forked.status, forked.log.read_text(errors="replace")

    def close(self) -> None:
        """Let it end, and all that it forked with it."""
        self._server.shutdown(socket.SHUT_RDWR)
        self.process.process.wait(_GONE)

    def _ask(self, request: Mapping[str, object]) -> None:
        with self._lock:
            self._server.sendall(json.dumps(request).encode() + b"\n")

    def _listen(self) -> None:
        with self._server.makefile("rb") as answers:
            for line in answers:
                said = json.loads(line)
                if "id" in said:
                    self._born(said["id"], said["pid"])
                elif said["pid"] in self._forked:
                    self._change(self._forked[said["pid"]], said["event"], said["status"])

    def _born(self, number: int, pid: int) -> None:
        with self._lock:
            name, log, came = self._asked.pop(number)
        self._forked[pid] = forked = Forked(name, pid, log)
        came.put(forked)

    def _change(self, forked: Forked, event: str, status: int) -> None:
        forked.stopped = event == "stopped"
        if event == "exited":
            forked.status = status
            forked.ended.set()
            self._forked.pop(forked.pid)
        self.changes.put((forked, event))


def warm() -> None:
    """Import what commands load when they are named: entry points and what stands behind them."""
    for name in (
        "worker",
        "gateway",
        "replay",
        "account",
        "topology",
        "keys",
        "stop",
        "dead",
        "doubt",
        "relays",
        "template",
    ):
        cli.Rooms(name="preklic").get_command(None, name)
    gc.collect()
    gc.freeze()


def main() -> None:
    """Serve the driver that listens on the socket."""
    warm()
    with socket.socket(socket.AF_UNIX) as driver:
        driver.connect(sys.argv[1])
        Server(driver).serve()


def wait_gone(forked: Iterable[Forked], seconds: float) -> list[Forked]:
    """Those that have not ended after so many seconds."""
    deadline = time.monotonic() + seconds
    return [one for one in forked if not one.ended.wait(max(0.0, deadline - time.monotonic()))]


if __name__ == "__main__":
    main()
