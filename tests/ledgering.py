"""A ledger for tests: its name, its key, and who puts leaves on."""

from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymongo import UpdateOne

from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.runs import dated, dated_doc
from preklic_workers.ledger.sequencing import Sequencer
from preklic_workers.store.mongo import Unavailable

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NAME = "primer.example/preklic"
PUBLIC = KEY.public_key().public_bytes_raw()
KEYS = {NAME: [PUBLIC]}


def sequencer_of(store, ledger=None) -> Sequencer:
    """One that works on this store; `ledger` takes the place of its own."""
    return Sequencer(ledger or store.ledger, store.mongo, NAME, KEY)


async def audited(store):
    """What `ledger verify` finds in it."""
    ledger = store.ledger
    return await audit(ledger.runs(), await ledger.checkpoints(), KEYS, dates=await ledger.dated())


async def date_back(store, size, at, key=KEY):
    """This head as the ledger's own key would have signed it then."""
    fields = dated_doc(dated(size, at, NAME, key))
    await store.mongo["checkpoints"].bulk([UpdateOne({"_id": fields.pop("_id")}, {"$set": fields})])


class Dying:
    """A ledger that stops at the n-th of its writes: before it, or after it with the answer lost."""

    WRITES = frozenset({"append", "sign"})

    def __init__(self, ledger, left: int, *, after: bool) -> None:
        self._ledger, self.left, self._after = ledger, left, after
        moved = self._dying(ledger.entries.moved)
        self.entries = SimpleNamespace(riding=ledger.entries.riding, left_of=ledger.entries.left_of, moved=moved)

    def __getattr__(self, name):
        method = getattr(self._ledger, name)
        return self._dying(method) if name in self.WRITES else method

    def _dying(self, method):
        async def write(*given):
            self.left -= 1
            if self.left == 0 and not self._after:
                raise Unavailable("it died")
            result = await method(*given)
            if self.left == 0:
                raise Unavailable("it died")
            return result

        return write
