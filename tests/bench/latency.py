"""How long one job takes while the machine is full: a payment to its DATA behind bulk mail, a click to its record."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection

from bench.contest import Pace, Sample
from bench.ground import OUR_DATABASE, DoesNotRun, Ground
from bench.house import House
from bench.life import attach, stop
from bench.site import Site
from preklic_producers import Producer
from preklic_shared.ids import new_id
from preklic_shared.token_keys import load_token_keys
from preklic_shared.tokens import Click
from preklic_stack.children import Child

PAYMENT = {"invoice": "2026-17", "amount": "29,90 EUR", "due": "1. 12. 2026"}
_BETWEEN = 0.05  # seconds from one probe to the next
_LATEST = 30.0
_LOOK = 0.002
_FULL = 3000  # bulk mails a second, more than the machine does


@dataclass(frozen=True)
class ToData:
    """Payment mails while two send workers are busy with bulk mail; from the call of `send` to 354, in ms."""

    name: str
    home: House
    start: Callable[[], list[Child]]

    def turn(self, ground: Ground, pace: Pace) -> Sample:
        count = 10 if pace.jobs else int(2 * pace.seconds / _BETWEEN)
        self.home.send_jobs(pace.jobs or int(_FULL * (2 * pace.seconds + pace.warm)))
        offset, before = ground.sink.ledger.stat().st_size, ground.accepted()
        workers = self.start()
        try:
            attach(ground, workers[0], "send.bulk")
            time.sleep(pace.warm)
            began, asked = time.monotonic(), self._ask(count)
            bulk = (ground.accepted() - before) / (time.monotonic() - began + pace.warm)
            waited = self._waited(ground, offset, asked)
        finally:
            for worker in workers:
                stop(ground, worker)
            ground.empty("send.bulk")
        return Sample(bulk, count, more=shares(waited))

    def _ask(self, count: int) -> dict[str, float]:
        """Probes, evenly: recipient -> when it was asked for."""
        asked = {}
        run = uuid.uuid4().hex[:8]
        with Producer(self.home.settings("gateway"), deadline=30) as producer:
            for number in range(count):
                asked[to := f"{run}{number}@example.test"] = time.time()
                producer.send(to, "payment", "payment", PAYMENT)
                time.sleep(_BETWEEN)
        return asked

    def _waited(self, ground: Ground, offset: int, asked: dict[str, float]) -> list[float]:
        deadline = time.monotonic() + _LATEST
        while time.monotonic() < deadline:
            lines = (line for line in ground.sink.lines(offset) if line["phase"] == "data")
            begun = {line["to"]: line["at"] / 1e9 for line in lines if line["to"] in asked}
            if len(begun) == len(asked):
                return [begun[to] - at for to, at in asked.items()]
            time.sleep(0.1)
        raise DoesNotRun(f"{self.name}: {len(asked) - len(begun)} of {len(asked)} payments did not reach DATA")


@dataclass(frozen=True)
class ToRecord:
    """Clicks while others flood the gateway; from the request to the event in MongoDB, in ms."""

    name: str
    home: House
    site: Site
    start: Callable[[], list[Child]]

    def turn(self, ground: Ground, pace: Pace) -> Sample:
        count = 10 if pace.jobs else int(2 * pace.seconds / _BETWEEN)
        seconds = count * 3 * _BETWEEN + pace.warm
        server, workers = self.site.start(), self.start()
        before = ground.documents(OUR_DATABASE, "events")
        load = ground.start(
            "latency-load", self.site.load(self.home.links(500))(seconds), self.home.environment("track")
        )
        try:
            attach(ground, workers[0], "track")
            time.sleep(pace.warm)
            began = time.monotonic()
            waited = [self._click(ground) for _ in range(count)]
            took = time.monotonic() - began
        finally:
            load.kill()
            for child in (load, server):
                ground.stop(child)
            for worker in workers:
                stop(ground, worker)
            ground.empty("track")
        recorded = ground.documents(OUR_DATABASE, "events") - before
        return Sample(recorded / (took + pace.warm), count, more=shares(waited))

    def _click(self, ground: Ground) -> float:
        """One click of somebody who reads; seconds until it is recorded."""
        message = new_id()
        token = load_token_keys(self.home.keys / "gateway").mint(
            Click(message, self.home.watched()[0], 1, "https://lucrum.example/read/1")
        )
        began = time.monotonic()
        visit = HTTPConnection("127.0.0.1", self.site.port, timeout=_LATEST)
        visit.request("GET", f"/c/{token}", headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"})
        if (status := visit.getresponse().status) >= 400:
            raise DoesNotRun(f"{self.name}: the gateway answered {status}")
        visit.close()
        while not ground.recorded(OUR_DATABASE, message):
            if time.monotonic() - began > _LATEST:
                raise DoesNotRun(f"{self.name}: a click is not recorded")
            time.sleep(_LOOK)
        took = time.monotonic() - began
        time.sleep(_BETWEEN)
        return took


def shares(waited: list[float]) -> dict[str, float]:
    """Median, 99th part of 100 and most, in milliseconds."""
    ordered = sorted(waited)
    last = len(ordered) - 1
    return {
        name: round(1000 * ordered[round(last * part)], 1) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1))
    }
