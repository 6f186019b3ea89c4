"""A ledger for tests: its name, its key, and who puts leaves on."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymongo import UpdateOne

from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.runs import dated, dated_doc
from preklic_workers.ledger.sequencing import Sequencer

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
