"""What a process goes by, said when it starts and when it changes: the registry, and which keys it holds.

Of a key that has a public half the ledger keeps that; of a secret one its name and a check value, 32 bits of a MAC
under that very key: the wrong key under the right name is seen, and nothing opens with it.
"""

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared.registry import Registry
from preklic_shared.tokens import MAX_KEY_ID, Click
from preklic_workers.keyring import KeyRing
from preklic_workers.starting import fingerprint
from preklic_workers.store.mongo import Mongo
from preklic_workers.store.standing import Standing

EVERY: Final = 60.0  # seconds between looks whether it is still so
_CHECKED: Final = b"preklic key check value"
_CHECK_DIGITS: Final = 8


class Declared:
    """What one role of this process has said."""

    def __init__(self, mongo: Mongo, role: str, registry: Registry, ring: KeyRing) -> None:
        self._standing = Standing(mongo)
        self._role = role
        self._registry = f"{registry.version} {fingerprint(registry)}"
        self._ring = ring
        self._told: list[str] | None = None

    async def once(self) -> None:
        """Say it unless it is said. Raises store.Unavailable."""
        names = names_of(self._ring)
        if names == self._told:
            return
        await self._standing.declare("registry", "registry", [self._registry])
        await self._standing.declare(f"keys:{self._role}", "key", names)
        self._told = names


def names_of(ring: KeyRing) -> list[str]:
    """The keys of a ring by name, each with what tells it from another of that name; no key itself. Pure."""
    epochs = [(group, number, key) for group, keys in ring.epochs.keys.items() for number, key in keys.items()]
    names = [f"{group}.{number}.epoch {check_value(key)}" for group, number, key in epochs]
    blind = (("lookup", ring.blind.lookup), ("suppress", ring.blind.suppress))
    names += [f"{name}.hmac {check_value(key)}" for name, key in blind if key]
    names += [f"{name}.x25519 {public_of(key)}" for name, key in ring.opener.keys.items()]
    if ring.tokens is not None:
        derived = ((number, ring.tokens.derived(number, Click.KIND)) for number in range(MAX_KEY_ID + 1))
        names += [f"{number}.token {check_value(key)}" for number, key in derived if key is not None]
    names += [f"{key.name} {hashlib.sha256(key.record().encode()).hexdigest()}" for key in ring.dkim]
    if ring.ledger is not None:
        names.append(f"ledger.ed25519 {public_of(ring.ledger)}")
    return names


def public_of(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    """A key's public half, 64 hex digits."""
    return key.public_key().public_bytes_raw().hex()


def check_value(key: bytes) -> str:
    """The key check value of a secret key, 8 hex digits. Pure."""
    return hmac.digest(key, _CHECKED, "sha256").hex()[:_CHECK_DIGITS]
