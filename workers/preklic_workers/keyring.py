"""What one role can open and find: its sealing keys, epoch keys and blind indexes, in one value."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from preklic_shared.sealing import Opener
from preklic_shared.tokens import TokenKeys
from preklic_workers.blind import Blind
from preklic_workers.dkim_keys import DkimKey
from preklic_workers.envelope import Epochs


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """A role's keys. What the role does not need is None or empty: send has no epoch key of `court`."""

    role: str
    blind: Blind
    epochs: Epochs
    tokens: TokenKeys | None = None
    opener: Opener = field(default_factory=lambda: Opener({}))
    dkim: tuple[DkimKey, ...] = ()
    ledger: Ed25519PrivateKey | None = None
