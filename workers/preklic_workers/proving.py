"""What of a proof may stand in the clear, and which wording it names. Pure."""

import re
from typing import Final

import msgspec

from preklic_shared import wordings
from preklic_shared.jobs import Proof
from preklic_shared.registry import Purpose, Registry
from preklic_shared.wordings import Words
from preklic_workers.blind import Blind

_WEB: Final = re.compile(r"https?://", re.IGNORECASE)


class Proven(msgspec.Struct, frozen=True, cache_hash=True):
    """What stands beside a proof in the clear.

    `wording` is the SHA-256 of a known wording (64 hex digits), or a keyed hash of free text (43 characters of
    base64url); `words` the known wording itself; `source` only its class. `producer` recorded it.
    """

    wording: str
    language: str
    method: str
    source: str
    producer: str
    words: Words | None = None


def unproven(proof: Proof, purposes: list[Purpose], registry: Registry) -> str | None:
    """Why `proof` proves no permission for `purposes`: `unknown_wording`, or `no_contract`.

    The latter is for purposes that rest on the exception for existing customers (ZEKom-2 226(2)).
    """
    if wordings.is_unknown(registry.wordings, proof.wording, proof.language):
        return "unknown_wording"
    if proof.method != "contract" and any(purpose.basis == "existing_customer" for purpose in purposes):
        return "no_contract"
    return None


def proven(proof: Proof, producer: str, registry: Registry, blind: Blind) -> Proven:
    """The clear half of a proof's row. Free text is hashed with a key: it may hold what is somebody's own."""
    words = wordings.find(registry.wordings, proof.wording, proof.language)
    return Proven(
        wording=words.hash if words is not None else blind.wording(proof.wording),
        language=proof.language,
        method=proof.method,
        source=source_class(proof),
        producer=producer,
        words=words,
    )


def source_class(proof: Proof) -> str:
    """`web`, `import`, `paper`, `contract` or `other`: the source itself is kept encrypted.

    >>> source_class(Proof(wording="v1", source="https://lucrum.example/novice", method="form"))
    'web'
    """
    if proof.method in {"import", "paper", "contract"}:
        return proof.method
    return "web" if _WEB.match(proof.source) else "other"
