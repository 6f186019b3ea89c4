"""What a website and the people who get its mail do, all at once: the load of a fault run, and what it was promised."""

import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from faults.races import Oplog, Pair, Races, Starter
from faults.witnesses import RACING
from faults.world import SITE, Human, People, World
from preklic_producers.courier import Courier, Unavailable
from preklic_producers.drafts import Drafter
from preklic_producers.outbox import Parcel
from preklic_producers.seals import Seals
from preklic_shared.broker import PreklicBroker
from preklic_shared.ids import new_id
from preklic_shared.jobs import Proof
from preklic_shared.registry import load_registry
from preklic_shared.token_keys import load_token_keys
from preklic_shared.tokens import Unsubscribe

ARTICLES: Final = [{"title": "One", "summary": "Nothing to read here.", "url": "https://lucrum.example/one"}]
DATA: Final = {
    "newsletter": {"title": "A fault run", "intro": "Sent while workers die.", "articles": ARTICLES},
    "offer": {"title": "A race", "text": "Sent while its withdrawal comes.", "url": "https://lucrum.example/race"},
    "payment": {"invoice": "2026-17", "amount": "29,90 EUR", "due": "1. 12. 2026"},
}
PROOF: Final = Proof(wording="newsletter-2026-1", source="fault run", method="form")
# What happens in each second, on average.
RATES: Final = {
    "newsletter": 20.0,
    "payment": 6.0,
    "dead": 0.5,
    "strange": 1.0,
    "granted": 1.0,
    "withdrawn": 1.0,
    "one_click": 1.0,
    "clicked": 20.0,
}
# Seconds from one burst to the next: what comes together is claimed, asked and settled together.
BURST: Final = 0.8
LOOK: Final = 0.02  # seconds between looks at what the workers tell
MOST_RACING: Final = 200  # pairs in one burst
# Mails that have not come to the gate's door yet. With so many still to come no burst sets out: it would stand in the
# queue behind them, and its withdrawals would have gone alone by then. Who is not there after so long is not coming.
MOST_ABROAD: Final = 40
ABROAD: Final = 20.0  # seconds
_ORDERS: Final = 60  # in one line of a worker's pipe, which takes 4 KiB at once
_SPREAD: Final = 0.5  # ms about the aim
_KNOWN: Final = 100  # pairs after which their share is known


@dataclass
class Promised:
    """What the website has receipts for, by job id: its kind, and for mails the purpose and the address."""

    sends: dict[str, tuple[str, str]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    clicked: list[tuple[str, str]] = field(default_factory=list)
    refused: int = 0


class Website:
    """Publishes in two threads until it is left. So many `pairs` are to meet within `seconds`; more are made for that,
    and as many as can be once it was told to `hurry`.

    `load` is a factor on RATES.
    """

    def __init__(self, world: World, people: People, seed: int, pairs: int, seconds: float, load: float) -> None:
        self.promised = Promised()
        self._oplog = Oplog(world.system.mongo.url, world.system.database)
        self.races = Races(self._oplog)
        self._starter = Starter()
        self._abroad: dict[str, float] = {}
        self.stuck: list[str] = []
        self._world = world
        self._people = people
        self._chance, self._aim = random.Random(seed), random.Random(seed + 1)
        self._pairs, self._seconds = pairs, seconds
        self._began = time.monotonic()
        self._load = load
        self._over, self._hurried = threading.Event(), threading.Event()
        self._crowd: list[Human] = []
        self._gone: list[Human] = []
        self._again: deque[tuple[float, Parcel]] = deque()
        settings = world.settings(SITE)
        assert settings.sealing_keys is not None
        self._tokens = load_token_keys(world.system.keys / "gateway")
        self._parts = (settings.producer, load_registry(None), Seals(settings.sealing_keys))
        self._drafts = Drafter(*self._parts)
        self._broker = PreklicBroker(settings.amqp_url, deadline=4)
        self._courier = Courier(self._broker.publish_many, None)
        self._threads = [threading.Thread(target=work) for work in (self._keep, self._meet)]

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._crowd = self._people.make(400)
        self._oplog.__enter__()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._oplog.__exit__()
        self._courier.close()
        self._broker.close()

    def hurry(self) -> None:
        """What is left of the pairs may take all the room there is."""
        self._hurried.set()

    def met(self) -> bool:
        """Whether as many pairs met as were to."""
        return sum(self.races.near.values()) >= self._pairs

    def publish_dead(self, count: int) -> None:
        """Mails that no template can be filled for."""
        self._send([self._mail(self._chance.choice(self._crowd), "newsletter", {}) for _ in range(count)])

    def publish_strange(self, count: int) -> None:
        """Mails to people who are recorded nowhere: each waits in a tier for a grant that does not come."""
        to = [self._people.stranger() for _ in range(count)]
        self._send([self._draft(address, "newsletter") for address in to])

    def click(self, count: int) -> None:
        """Clicks of the crowd."""
        message = new_id()
        who = [self._chance.choice(self._crowd) for _ in range(count)]
        parcels = [self._drafts.track(message, human.pid, "clicked", link=n) for n, human in enumerate(who)]
        self._others(parcels, "track")

    def one_click(self) -> None:
        """A one-click withdrawal of the newsletter by somebody of the crowd, at the gateway."""
        human = self._crowd.pop(self._chance.randrange(len(self._crowd)))
        self._crowd += self._people.make(1)
        token = self._tokens.mint(Unsubscribe(new_id(), human.pid, "newsletter"))
        request = Request(f"{self._world.gateway_url}/u/{token}", data=b"List-Unsubscribe=One-Click", method="POST")
        with suppress(HTTPError, URLError, OSError), urlopen(request, timeout=5) as answer:
            if answer.status == 200:
                self.promised.clicked.append((human.subject, "newsletter"))

    def _keep(self) -> None:
        """Burst after burst: the next one sets out when the pairs of the last one have been let go."""
        before = time.monotonic()
        while not self._over.wait(LOOK):
            now = time.monotonic()
            if now - before < BURST or not self._starter.idle(time.time()):
                continue
            for work in (self._race, self._live):
                try:
                    work(min(now - before, 2 * BURST))
                except Exception as error:  # noqa: BLE001 - the audit says what is missing; the run says why
                    self.stuck.append(f"{work.__name__}: {type(error).__name__} {error}"[:300])
            before = now

    def _race(self, seconds: float) -> None:
        """Mails, each with the withdrawal of its purpose: they meet at the gate."""
        count = min(self._count(self._rate() * seconds), MOST_RACING)
        self._abroad = {job: since for job, since in list(self._abroad.items()) if time.monotonic() - since < ABROAD}
        if count < 1 or len(self._abroad) > MOST_ABROAD:
            return
        people = self._people.make(count)
        mails = [self._draft(human.address, RACING) for human in people]
        ends = [self._drafts.revoke(human.address, [RACING], reason="a race") for human in people]
        pairs = [Pair(mail.job, end.job) for (mail, _, _), end in zip(mails, ends, strict=True)]
        self._abroad |= {pair.mail: time.monotonic() for pair in pairs}
        self._starter.enter(pairs, time.time())
        self._send(mails)
        self._others(ends, "revoke")

    def _meet(self) -> None:
        """Read what the workers tell, and let pairs go."""
        with self._world.told.open("rb") as told:
            rest = b""
            while not self._over.wait(LOOK):
                *lines, rest = (rest + told.read()).split(b"\n")
                try:
                    self._hear([json.loads(line) for line in lines])
                except Exception as error:  # noqa: BLE001 - fewer pairs meet then, and the run says why
                    self.stuck.append(f"meeting: {type(error).__name__} {error}"[:300])

    def _hear(self, lines: Sequence[dict[str, Any]]) -> None:
        for line in lines:
            if line["what"] == "at_door":
                self._starter.at_door(line["job"], line["pid"])
                self._abroad.pop(line["job"], None)
            else:
                self.races.saw(line)
        self._let_go(self._starter.starts(time.time()))
        self.races.settle()

    def _let_go(self, starts: Iterable[tuple[float, Pair]]) -> None:
        """Tell each worker when whoever waits at its doors may go on."""
        orders: dict[int, list[str]] = {}
        for moment, pair in starts:
            aim = (self.races.centre + self._aim.uniform(-_SPREAD, _SPREAD)) / 1000
            orders.setdefault(pair.at_door[pair.mail], []).append(f"{pair.mail}@{moment:.4f}")
            orders.setdefault(pair.at_door[pair.end], []).append(f"{pair.end}@{moment + aim:.4f}")
            self.races.mails.add(pair.mail)
            self.races.ends.add(pair.end)
        for one in [each for each in self._world.fleet if each.pid in orders]:
            for start in range(0, len(orders[one.pid]), _ORDERS):
                self._world.zygote.tell(one, f"go {' '.join(orders[one.pid][start : start + _ORDERS])}")

    def _rate(self) -> float:
        """Pairs a second, so that what is still to meet does within the time left, when as many meet as did so far."""
        if self._hurried.is_set():
            return 0.0 if self.met() else MOST_RACING / BURST
        met, seen = sum(self.races.near.values()), len(self.races.gaps)
        share = met / seen if seen > _KNOWN else 0.7
        left = max(1.0, self._seconds - (time.monotonic() - self._began))
        return min((self._pairs - met) / left / max(share, 0.1), 2 * self._pairs / self._seconds)

    def _live(self, seconds: float) -> None:
        counts = {what: self._count(rate * seconds * self._load) for what, rate in RATES.items()}
        mails = [self._mail(self._chance.choice(self._crowd), "newsletter") for _ in range(counts["newsletter"])]
        mails += [self._mail(self._chance.choice(self._crowd), "payment") for _ in range(counts["payment"])]
        self._send(mails)
        self._repeat(mails)
        self.publish_dead(counts["dead"])
        self.publish_strange(counts["strange"])
        self.click(counts["clicked"])
        for _ in range(counts["granted"]):
            self._grant()
        for _ in range(counts["withdrawn"]):
            self._withdraw()
        for _ in range(counts["one_click"]):
            self.one_click()

    def _count(self, mean: float) -> int:
        whole = max(0.0, mean)
        return int(whole) + (self._chance.random() < whole % 1)

    def _mail(self, human: Human, purpose: str, data: Any = None) -> tuple[Parcel, str, str]:
        return self._draft(human.address, purpose, data)

    def _draft(self, address: str, purpose: str, data: Any = None, **more: Any) -> tuple[Parcel, str, str]:
        template = purpose.removesuffix("s")
        given = DATA[template] if data is None else data
        return self._drafts.send(address, purpose, template, given, **more), purpose, address

    def _repeat(self, mails: Sequence[tuple[Parcel, str, str]]) -> None:
        """Some requests are made twice, the second time a while later, as an impatient website does."""
        lease = self._world.lease or 60.0
        for parcel, _, _ in mails:
            if self._chance.random() < 0.05:
                self._again.append((time.monotonic() + self._chance.uniform(0, 1.5 * lease), parcel))
        due = [parcel for at, parcel in self._again if at <= time.monotonic()]
        self._again = deque(entry for entry in self._again if entry[0] > time.monotonic())
        self._hand_over(due, lambda _: None)

    def _grant(self) -> None:
        """Somebody new says yes, and the first mail stands on it; now and then it is one who said no just before."""
        back = bool(self._gone) and self._chance.random() < 0.3
        address = self._gone.pop().address if back else self._people.stranger()
        grant = self._drafts.grant(address, ["newsletter"], proof=PROOF, confirmed=True)
        self._others([grant], "grant")
        self._send([self._draft(address, "newsletter", after=grant.job)])

    def _withdraw(self) -> None:
        human = self._crowd.pop(self._chance.randrange(len(self._crowd)))
        self._crowd += self._people.make(1)
        # What is under way to them races with it, and what comes after it must be refused.
        mails = [self._mail(human, "newsletter") for _ in range(3)]
        self._send(mails[:2])
        purposes = self._chance.choice(["all", ["newsletter"]])
        self._others([self._drafts.revoke(human.address, purposes, reason="by the run")], "revoke")
        self._send(mails[2:])
        self._gone.append(human)

    def _send(self, mails: Sequence[tuple[Parcel, str, str]]) -> None:
        about = {parcel.job: (purpose, address) for parcel, purpose, address in mails}
        self._hand_over([parcel for parcel, _, _ in mails], lambda job: self.promised.sends.update({job: about[job]}))

    def _others(self, parcels: Sequence[Parcel], kind: str) -> None:
        self._hand_over(parcels, lambda job: self.promised.others.update({job: kind}))

    def _hand_over(self, parcels: Sequence[Parcel], taken: Callable[[str], None]) -> None:
        """Publish, and note what there is a receipt for."""
        if not parcels:
            return
        try:
            receipts: Sequence[Any] = self._courier.hand_over(parcels)
        except Unavailable as away:
            receipts = away.receipts
            self.promised.refused += len(parcels) - sum(receipt is not None for receipt in receipts)
        for receipt in receipts:
            if receipt is not None:
                taken(receipt.job_id)
