"""What is recorded: the only package of the workers that opens MongoDB.

`store = await open_store(settings, ring)`; all its methods raise `Unavailable` when MongoDB is away or not certain.
"""

from dataclasses import dataclass
from typing import Protocol

from preklic_workers.keyring import KeyRing
from preklic_workers.moments import millis, moment
from preklic_workers.store.acts import Act, Acts, Fact
from preklic_workers.store.ages import Ages
from preklic_workers.store.asking import Asking
from preklic_workers.store.campaigns import Campaign, Campaigns
from preklic_workers.store.claims import Busy, Claim, ClaimAnswer, Claimed, Conflict, Ended
from preklic_workers.store.contacts import Contacts
from preklic_workers.store.controls import ALL, MARKETING, RESTORED, Control, Controls, Mark, held_by, switches
from preklic_workers.store.dead import DeadGroup, DeadLetter, DeadLetters
from preklic_workers.store.erasures import Erased, Erasures
from preklic_workers.store.events import Event, Events
from preklic_workers.store.exports import Exports, Whole
from preklic_workers.store.gate import Gate, GateAnswer, GateBusy, GateLost, GatePassed, GateRefused, Handover
from preklic_workers.store.grants import Grant, Grants, GrantState
from preklic_workers.store.holding import Hold
from preklic_workers.store.holds import Holds, NothingToHold
from preklic_workers.store.import_docs import ListGrant, ListState
from preklic_workers.store.imports import Answers, Granted, Imports, Purposes
from preklic_workers.store.leases import Leases
from preklic_workers.store.ledger import LedgerStore
from preklic_workers.store.marks import Marked, Marks
from preklic_workers.store.merge_docs import Merge, Merged
from preklic_workers.store.merges import Merges
from preklic_workers.store.message_states import CERTAIN
from preklic_workers.store.messages import Messages, Noted
from preklic_workers.store.mongo import Doc, Duplicate, Mongo, Standalone, Unavailable
from preklic_workers.store.persons import Persons, TooManyFields
from preklic_workers.store.profiles import Profiles
from preklic_workers.store.proofs import Proofs
from preklic_workers.store.reputation import Reputation
from preklic_workers.store.requests import Requests
from preklic_workers.store.returned import Returned
from preklic_workers.store.schedule import Schedule, Scheduled
from preklic_workers.store.signs import Signs, Silent
from preklic_workers.store.statistics import Statistics
from preklic_workers.store.timed import Cancelling, Timed, TimedMails
from preklic_workers.store.vault import Vault
from preklic_workers.store.withdrawals import Captured, Drain, Withdraw, Withdrawal, Withdrawals

__all__ = [
    "ALL",
    "CERTAIN",
    "MARKETING",
    "RESTORED",
    "Act",
    "Acts",
    "Answers",
    "Asking",
    "Busy",
    "Campaign",
    "Campaigns",
    "Cancelling",
    "Captured",
    "Claim",
    "ClaimAnswer",
    "Claimed",
    "Conflict",
    "Contacts",
    "Control",
    "Controls",
    "DeadGroup",
    "DeadLetter",
    "DeadLetters",
    "Doc",
    "Drain",
    "Duplicate",
    "Ended",
    "Erased",
    "Erasures",
    "Event",
    "Events",
    "Exports",
    "Fact",
    "Gate",
    "GateAnswer",
    "GateBusy",
    "GateLost",
    "GatePassed",
    "GateRefused",
    "Grant",
    "GrantState",
    "Granted",
    "Grants",
    "Handover",
    "Hold",
    "Holds",
    "Imports",
    "ListGrant",
    "ListState",
    "Mark",
    "Marked",
    "Marks",
    "Merge",
    "Merged",
    "Merges",
    "Messages",
    "Noted",
    "NothingToHold",
    "Persons",
    "Profiles",
    "Proofs",
    "Purposes",
    "Requests",
    "Returned",
    "Schedule",
    "Scheduled",
    "Signs",
    "Silent",
    "Standalone",
    "Statistics",
    "Store",
    "Timed",
    "TimedMails",
    "TooManyFields",
    "Unavailable",
    "Vault",
    "Whole",
    "Withdraw",
    "Withdrawal",
    "Withdrawals",
    "held_by",
    "millis",
    "moment",
    "open_store",
    "switches",
]


class Place(Protocol):
    """The settings that the store reads."""

    @property
    def mongo_url(self) -> str:
        """A replica set's URL."""
        ...

    @property
    def mongo_database(self) -> str:
        """The database; the wrapped keys are in `<database>_keys`."""
        ...


@dataclass(frozen=True, slots=True)
class Store:
    """All that is recorded, by subject."""

    mongo: Mongo
    messages: Messages
    persons: Persons
    profiles: Profiles
    gate: Gate
    withdrawals: Withdrawals
    grants: Grants
    proofs: Proofs
    imports: Imports
    merges: Merges
    events: Events
    dead: DeadLetters
    controls: Controls
    marks: Marks
    ages: Ages
    vault: Vault
    acts: Acts
    erasures: Erasures
    signs: Signs
    exports: Exports
    holds: Holds
    requests: Requests
    returned: Returned
    schedule: Schedule
    timed: TimedMails
    campaigns: Campaigns
    asking: Asking
    contacts: Contacts
    statistics: Statistics
    leases: Leases
    reputation: Reputation
    ledger: LedgerStore

    async def handed(self, message: str, epoch: int) -> bool:
        """Whether an epoch before `epoch` left its hand-over open: a body may be out, and no no is plain (law 1e)."""
        if epoch == 1:
            return False
        person = (await self.messages.show(message) or {}).get("person")
        return person is not None and bool(await self.persons.open_hand_overs({message: person}))

    async def once_more(self, message: str, person: str, epoch: int) -> bool:
        """Let a mail whose `epoch` is in doubt go out a second and last time: its hand-over goes to `stale` first."""
        await self.persons.to_stale(person, message, epoch)
        return await self.messages.once_more(message)

    def close(self) -> None:
        """Close the connections."""
        self.mongo.close()


async def open_store(settings: Place, ring: KeyRing) -> Store:
    """Connect as `settings` say. Raises `Unavailable`, or `Standalone` for a server without a replica set."""
    mongo = await Mongo.open(settings.mongo_url, settings.mongo_database)
    vault = Vault(mongo, ring.epochs)
    persons = Persons(mongo, vault, ring.blind)
    messages = Messages(mongo)
    proofs = Proofs(mongo, vault)
    controls = Controls(mongo)
    return Store(
        mongo=mongo,
        messages=messages,
        persons=persons,
        profiles=Profiles(mongo, vault),
        gate=Gate(mongo, messages, controls),
        withdrawals=Withdrawals(mongo),
        grants=Grants(persons, proofs),
        proofs=proofs,
        imports=Imports(mongo, vault, ring.blind),
        merges=Merges(mongo),
        events=Events(mongo),
        dead=DeadLetters(mongo),
        controls=controls,
        marks=Marks(mongo),
        ages=Ages(mongo),
        vault=vault,
        acts=Acts(mongo),
        erasures=Erasures(mongo, persons, vault),
        signs=Signs(mongo),
        exports=Exports(mongo, persons, vault),
        holds=Holds(mongo, vault),
        requests=Requests(mongo),
        returned=Returned(mongo),
        schedule=Schedule(mongo),
        timed=TimedMails(mongo),
        campaigns=Campaigns(mongo),
        asking=Asking(mongo),
        contacts=Contacts(mongo, vault),
        statistics=Statistics(mongo),
        leases=Leases(mongo),
        reputation=Reputation(mongo),
        ledger=LedgerStore(mongo, vault),
    )
