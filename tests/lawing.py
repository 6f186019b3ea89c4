"""Officers for tests, and the desk they sit at."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared.settings import Officer
from preklic_workers.law import Law
from preklic_workers.officers import ALL_RIGHTS, Signer
from storing import REGISTRY

KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.ljust(32).encode()) for name in ("mojca", "boris", "zala")}
MOJCA, BORIS, ZALA = (Signer(name, key) for name, key in KEYS.items())
COURT = X25519PrivateKey.generate()
COURT_HEX = COURT.public_key().public_bytes_raw().hex()


def officer(signer, *may):
    return Officer(name=signer.name, key=signer.public.hex(), may=may or ALL_RIGHTS)


OFFICERS = [officer(MOJCA), officer(BORIS), officer(ZALA)]


def law_of(store, officers=OFFICERS):
    return Law(store, REGISTRY, officers)


async def denials(store):
    """The codes of what was refused, the oldest first."""
    return [act.why for act in reversed(await store.acts.of()) if act.kind.endswith("_denied")]
