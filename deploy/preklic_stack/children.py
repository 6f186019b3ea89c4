"""The processes that one stack started: each stopped by its own pid, also when the parent is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from preklic_stack import guard


class NotReady(Exception):
    """A server did not come up; the message names its log."""


class Child:
    """A running process, the leader of its own process group, with its output in `log`.

    A disposable one keeps nothing worth a clean end: `close` kills it at once (RabbitMQ takes 6 s to say goodbye).
    """

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, *, disposable: bool) -> None:
        self.name = name
        self.log = log
        self.disposable = disposable
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                list(argv),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid

    def alive(self) -> bool:
        """True while the process runs."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to this process alone; nothing happens if it has ended."""
        if self.alive():
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the whole group, also to what the process left behind in it; then wait."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM, wait, then SIGKILL to the group; the exit status."""
        self.signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=seconds)
        self.kill()
        return self.process.returncode

    def tail(self, lines: int = 15) -> str:
        """The end of its output, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _groups() -> Iterator[tuple[int, int]]:
    """Pid and process group of every process that is not a zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, group, *_ = stat.read_text().rpartition(")")[2].split()
            if state not in "ZX":
                yield int(stat.parent.name), int(group)


class Children:
    """Starts processes and stops all of them, last first, on leaving the context or when this process dies.

    `ports` is where its servers listen, kept by those who start them, so that a test can see them free again.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: list[Child] = []
        self._groups: list[int] = []
        self.ports: list[int] = []
        self._guard = subprocess.Popen(
            [sys.executable, "-I", guard.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        disposable: bool = False,
    ) -> Child:
        """Start `argv` with `env` (default: this process's) and its output appended to `log`."""
        child = Child(name, argv, os.environ if env is None else env, log, disposable=disposable)
        with self._lock:
            self._running.append(child)
            self._groups.append(child.pid)
        self._tell(f"+{child.pid}\n")
        return child

    def forget(self, child: Child) -> None:
        """To be called after a child was stopped for good."""
        with self._lock:
            if child in self._running:
                self._running.remove(child)
        self._tell(f"-{child.pid}\n")

    def left(self) -> list[int]:
        """The pids alive now in any process group started here, also of grandchildren."""
        return [pid for pid, group in _groups() if group in self._groups]

    def close(self) -> None:
        """Stop everything, last started first (workers before the servers they use), then the guard."""
        for child in list(reversed(self._running)):
            if child.disposable:
                child.kill()
            else:
                child.stop(10)
            self.forget(child)
        if self._guard.stdin is not None:
            with suppress(OSError):
                self._guard.stdin.close()
        self._guard.wait(timeout=10)

    def _tell(self, line: str) -> None:
        with self._lock, suppress(OSError):
            if self._guard.stdin is not None and not self._guard.stdin.closed:
                self._guard.stdin.write(line.encode())
                self._guard.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
