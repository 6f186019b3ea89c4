"""A web server under load: started on a free port, asked for the same paths over and over."""

import json
import socket
import time
from collections.abc import Callable, Sequence

from bench.ground import DoesNotRun, Ground, ours
from preklic_stack.children import Child
from preklic_stack.ports import free_port


class Site:
    """One server; `argv` makes its command line from a port."""

    def __init__(self, ground: Ground, name: str, argv: Callable[[int], list[str]], env: dict[str, str]) -> None:
        self._ground, self._name, self._argv, self._env = ground, name, argv, env
        self.port = 0

    def start(self) -> Child:
        """Start it and wait until it listens. Raises `DoesNotRun`."""
        self.port = free_port()
        child = self._ground.start(self._name, self._argv(self.port), self._env)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and child.alive():
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return child
        raise DoesNotRun(f"{self._name} does not listen: {child.tail()}")

    def load(self, paths: Sequence[str]) -> Callable[[float], list[str]]:
        """The command line of the load, for so many seconds."""
        file = self._ground.run_dir / f"{self._name}.paths"
        file.write_text(json.dumps(list(paths)))
        return lambda seconds: ours("load", str(self.port), str(seconds), str(file))
