"""Starts the sink of `tests/sink` as a process of its own, and switches it over its loopback HTTP."""

import base64
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from preklic_stack.children import Child, Children, NotReady

TESTS = Path(__file__).resolve().parents[2] / "tests"


@dataclass
class MailSink:
    """A running sink: `port` speaks SMTP, `url` is its inbox and control, `ledger` the file it appends to."""

    port: int
    url: str
    ledger: Path
    certificate: Path | None
    child: Child

    def mode(self, name: str, **fields: object) -> None:
        """Switch how it answers; names and fields as `sink.modes.Mode`."""
        self._post("/mode", {"name": name, **fields})

    def pace(self, seconds: float) -> None:
        """How long every answer to a dot takes that the mode does not delay or change."""
        self._post("/pace", {"seconds": seconds})

    def smtputf8(self, *, on: bool) -> None:
        """Offer SMTPUTF8 or not, from the next EHLO on."""
        self._post("/smtputf8", {"on": on})

    def forget(self) -> None:
        """Empty the inbox and count connections anew; the ledger stays."""
        self._post("/forget", {})

    def counts(self) -> dict[str, int]:
        """Ledger lines by phase, `kept` mails, `open` connections and the most of them at once since `forget`."""
        return dict(self._get("/counts"))

    def mails(self) -> list[dict[str, Any]]:
        """The kept mails, oldest first: number, at (ns), sender, to, job, raw (bytes)."""
        return [mail | {"raw": base64.b64decode(mail["raw"])} for mail in self._get("/mails")]

    def lines(self, offset: int = 0) -> list[dict[str, Any]]:
        """The ledger's whole lines from this byte on, as written (see `sink.ledger.Entry`)."""
        with self.ledger.open("rb") as file:
            file.seek(offset)
            return [json.loads(line) for line in file if line.endswith(b"\n")]

    def _get(self, path: str) -> Any:
        with urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def _post(self, path: str, body: object) -> None:
        request = Request(f"{self.url}{path}", data=json.dumps(body).encode(), method="POST")
        with urlopen(request, timeout=10) as answer:
            answer.read()


def start_sink(children: Children, run_dir: Path, *options: str, seconds: float = 20) -> MailSink:
    """A sink process with its ledger below `run_dir`; `options` as `python -m sink --help`. Raises `NotReady`."""
    run_dir.mkdir(parents=True, exist_ok=True)
    ready, ledger = run_dir / "sink.ready", run_dir / "ledger.jsonl"
    ready.unlink(missing_ok=True)
    ledger.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "sink", "--ledger", str(ledger), "--ready", str(ready), *options]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    child = children.start("sink", argv, env=environment, log=run_dir / "sink.log")
    deadline = time.monotonic() + seconds
    while not ready.exists():
        if not child.alive() or time.monotonic() > deadline:
            raise NotReady(f"the sink did not start: {child.tail()}")
        time.sleep(0.02)
    told = json.loads(ready.read_text())
    children.ports += [told["smtp"], told["http"]]
    certificate = Path(told["certificate"]) if told["certificate"] else None
    return MailSink(told["smtp"], f"http://127.0.0.1:{told['http']}", ledger, certificate, child)
