"""What the scenes of the demo stand on: a website's producer, a look at mails and states, and a voice."""

import time
from collections.abc import Callable, Sequence

from pymongo import MongoClient
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from preklic_producers import Producer
from preklic_producers.courier import Receipt
from preklic_stack.household import Household
from preklic_stack.letters import Letter, letters
from preklic_stack.mailsink import MailSink

PATIENCE = 45.0
COLOURS = {"sent": "green", "applied": "green", "refused": "yellow", "dead": "red"}


class Surprise(Exception):
    """Something did not happen as the demo says; the message names it."""


class Stage:
    """One run of the demo. `jobs` keeps what each job was for, by id; `receipts` what later scenes need."""

    def __init__(self, home: Household, sink: MailSink, console: Console) -> None:
        self.home = home
        self.sink = sink
        self.console = console
        self.producer = Producer(home.site)
        self.receipts: dict[str, Receipt] = {}
        self._mongo: MongoClient[dict[str, object]] = MongoClient(home.system.mongo.url)
        self._messages = self._mongo[home.system.database]["messages"]
        self._database = self._mongo[home.system.database]
        self._scene = 0

    def close(self) -> None:
        """Close the producer and the look at the database."""
        self.producer.close()
        self._mongo.close()

    def scene(self, title: str) -> None:
        """Begin a scene."""
        self._scene += 1
        self.console.print(f"\n[bold cyan]{self._scene}. {title}[/]")

    def say(self, line: str) -> None:
        """One line of what happens."""
        self.console.print(f"   {line}", soft_wrap=True)

    def until(self, look: Callable[[], object], what: str, seconds: float = PATIENCE, every: float = 0.05) -> None:
        """Return when `look` answers yes. Raises `Surprise` naming `what` when it does not in time."""
        deadline = time.monotonic() + seconds
        while not look():
            if time.monotonic() > deadline:
                raise Surprise(what)
            time.sleep(every)

    def state(self, receipt: Receipt) -> tuple[str, str]:
        """State and reason of a job as recorded, empty when nothing is."""
        found = self._messages.find_one({"_id": receipt.job_id}, {"state": 1, "reason": 1}) or {}
        return str(found.get("state", "")), str(found.get("reason") or "")

    def ends(self, receipt: Receipt, state: str, reason: str = "", seconds: float = PATIENCE) -> None:
        """Wait until the job ends this way. Raises `Surprise` with how it stands otherwise."""
        try:
            self.until(lambda: self.state(receipt) == (state, reason), "", seconds)
        except Surprise:
            found = " ".join(self.state(receipt)) or "nowhere"
            raise Surprise(f"{receipt.job_id} should be {state} {reason}, and is {found}") from None

    def outcomes(self, rows: Sequence[tuple[str, str, Receipt]]) -> None:
        """A table of who was written to, what they had said, and what became of it."""
        table = Table("person", "had said", "mail", "reason", box=None, padding=(0, 3, 0, 3))
        for person, said, receipt in rows:
            state, reason = self.state(receipt)
            table.add_row(person, said, f"[{COLOURS.get(state, 'white')}]{state}[/]", escape(reason))
        self.console.print(table)

    def letter(self, receipt: Receipt) -> Letter:
        """The received mail of a job."""
        for letter in letters(self.sink):
            if letter.job == receipt.job_id:
                return letter
        raise Surprise(f"the mail {receipt.job_id} is in the inbox")

    def events(self) -> list[dict[str, object]]:
        """The opens and clicks that were recorded."""
        return list(self._database["events"].find({}, {"kind": 1, "verdict": 1, "message": 1}))

    def applied(self, source: str) -> bool:
        """Whether a withdrawal from this source is applied."""
        where = {"reason": source, "applied": {"$exists": True}}
        return self._database["withdrawals"].count_documents(where) > 0

    def recorded(self, kind: str) -> int:
        """How many jobs of this kind are recorded."""
        return self._messages.count_documents({"kind": kind})

    def conversations(self) -> int:
        """How many SMTP conversations got as far as naming a recipient."""
        return self.sink.counts().get("rcpt", 0)
