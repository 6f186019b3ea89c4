"""How `preklic` is run in a game: by its own program, or forked by a zygote, which costs no second of start."""

import itertools
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from faults.zygote import Forked, Zygote
from preklic_stack.children import Child, Children
from preklic_stack.system import PREKLIC

PATIENCE = 300  # seconds for a command


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended; `out` is what it showed, `err` what it complained of."""

    code: int
    out: str
    err: str


class Launcher(Protocol):
    """Starts `preklic`."""

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> Ended:
        """A command, to its end."""

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> Child | Forked:
        """A worker."""

    def forget(self, worker: Child | Forked) -> None:
        """This one has ended."""


@dataclass
class Programs:
    """The installed program, a process of its own each time; logs of workers go to `folder`."""

    children: Children
    folder: Path

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> Ended:
        """A command, to its end."""
        done = subprocess.run(
            [*PREKLIC, *argv],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> Child:
        """A worker."""
        return self.children.start(name, [*PREKLIC, *argv], env=environment, log=self.folder / f"{name}.log")

    def forget(self, worker: Child | Forked) -> None:
        """This one has ended."""
        if isinstance(worker, Child):
            self.children.forget(worker)


@dataclass
class Forks:
    """The same command line in a process that a zygote forks."""

    zygote: Zygote
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> Ended:
        """A command, to its end."""
        forked = self.zygote.fork(f"operator-{next(self.numbers)}", argv, environment, apart=True)
        if not forked.ended.wait(PATIENCE):
            forked.stop()
        code = -1 if forked.status is None else forked.status
        return Ended(code, forked.log.read_text(), forked.log.with_suffix(".err").read_text())

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> Forked:
        """A worker."""
        return self.zygote.fork(name, argv, environment)

    def forget(self, worker: Child | Forked) -> None:
        """This one has ended."""
