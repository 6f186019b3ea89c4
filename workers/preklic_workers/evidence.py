"""Evidence: what the ledger proves of a mail, a person or a case, as a bundle that is believed without this software.

Each function that gathers answers files of the archive by name; the manifest lists them all and is signed (U13).
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from preklic_shared.registry import Registry
from preklic_workers.dkim_keys import DkimKey
from preklic_workers.evidence_mails import octets_of, records_of
from preklic_workers.evidence_paper import paper
from preklic_workers.evidence_scope import About, Scope, scope_of, told
from preklic_workers.evidence_words import ENGLISH, SLOVENIAN
from preklic_workers.ledger import standalone, verify
from preklic_workers.ledger.archive import MOST_OCTETS, archive
from preklic_workers.ledger.bundle import MANIFEST, SIGNATURE, manifest_text
from preklic_workers.ledger.chart import Chart
from preklic_workers.ledger.key_history import Reign, SignedHead, history
from preklic_workers.ledger.leaves import Opening, plain
from preklic_workers.ledger.notes import proof_text, signed_note
from preklic_workers.stamp_files import stamp_over
from preklic_workers.store import Store

Files = dict[str, bytes]
MOST_LEAVES: Final = 20_000  # three files each, and a ZIP of the plain form holds 65,535


class Unproven(Exception):
    """There is nothing to prove yet, or too much for one bundle; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose ledger it is, and the key that signs its bundles; `older` are public keys it had before.

    `registry` says what may be opened as evidence; `dkim` are the keys for mail whose records are known.
    """

    origin: str
    key: Ed25519PrivateKey
    registry: Registry
    older: Sequence[bytes] = ()
    dkim: Sequence[DkimKey] = ()

    def publics(self) -> list[bytes]:
        """All public keys of the ledger (32 octets), the one of today last."""
        return [*self.older, self.key.public_key().public_bytes_raw()]


def unwatched(_leaves: int) -> None:
    """Nobody looks how far it is."""


async def export(
    store: Store, about: About, issuer: Issuer, by: str, why: str, read: Callable[[int], None] = unwatched
) -> bytes:
    """The bundle's octets. `read` is told each time how many leaves were read. Raises Unproven, Unavailable."""
    reigns = history(await store.ledger.stamps.heads(limit=0), issuer.origin, issuer.publics())
    if not reigns:
        raise Unproven("nothing is signed yet: preklic worker ledger signs a head each minute")
    head = max((reign.last for reign in reigns), key=lambda last: last.size)
    scope = await scope_of(store, about)
    files, places = await _leaves(store, scope, head.size, read)
    if not places:
        raise Unproven("the ledger has nothing about it under a signed head yet; wait a minute, or check the id")
    stamped, more = await stamp_over(store.ledger.stamps, places)
    head = stamped or head
    files |= more | await _proofs(store, places, head, read)
    mails = await octets_of(store, scope, issuer.registry)
    files |= mails | {"dkim.json": records_of(mails, issuer.dkim)}
    files |= _heads(reigns) | {"custody.json": verify.canonical(told(scope.custody))}
    said = {"about": _about(about), "by": by, "why": why, "made": plain(store.mongo.now())}
    files |= {"verify.py": standalone.source(), "README.txt": f"{SLOVENIAN}\n{ENGLISH}".encode()}
    files |= {"explanation.pdf": paper(_facts(said, issuer, len(places), len(mails)))}
    said |= {"keys": [one.said() for one in reigns if one.public is not None]}
    said |= {"strange_keys": strange} if (strange := [one.said() for one in reigns if one.public is None]) else {}
    return _signed(files, said | {"leaves": [{"place": place} for place in places]}, issuer)


def _about(about: About) -> dict[str, str]:
    named = {"record": about.record, "person": about.person, "case": about.case}
    return {name: value for name, value in named.items() if value is not None}


def _facts(said: Mapping[str, Any], issuer: Issuer, records: int, mails: int) -> dict[str, str]:
    """What the page says of this bundle."""
    about = ", ".join(f"{name} {text}" for name, text in said["about"].items())
    facts = {"about": about} | {name: said[name] for name in ("why", "by", "made")}
    facts |= {"ledger": issuer.origin, "key": issuer.publics()[-1].hex()}
    return facts | {"records": str(records), "mails": str(mails)}


async def _leaves(store: Store, scope: Scope, size: int, read: Callable[[int], None]) -> tuple[Files, list[int]]:
    """The leaves of the scope below the head of this size, what opens them, and their places."""
    files: Files = {}
    places: list[int] = []
    async for run in store.ledger.runs(scope.narrow()):
        chosen = [place for place in range(run.start, min(run.end, size)) if scope.wants(run, place)]
        for place, opening in (await store.ledger.opened(run, chosen)).items():
            files[f"leaves/{place}.json"] = run.leaves[place - run.start]
            if opening is not None:
                files[f"openings/{place}.json"] = _opening(opening)
                files |= await _wording(store, opening.content)
        places += chosen
        if len(places) > MOST_LEAVES:
            raise Unproven(f"more than {MOST_LEAVES} records: export it mail by mail")
        read(len(run.leaves))
    return files, places


async def _proofs(store: Store, places: Sequence[int], head: SignedHead, read: Callable[[int], None]) -> Files:
    chart = Chart(head.size, places)
    async for run in store.ledger.runs():
        chart.read(run.hashes)
        read(len(run.leaves))
    return {f"proofs/{one}.tlog-proof": proof_text(one, chart.proof(one), head.note).encode() for one in places}


def _heads(reigns: Sequence[Reign]) -> Files:
    """The heads that show from when until when each key signed."""
    ends = [head for one in reigns if one.public is not None for head in (one.first, one.last)]
    return {f"checkpoints/{head.size}.note": head.note.encode() for head in ends}


def _opening(opening: Opening) -> bytes:
    return verify.canonical({"salt": base64.b64encode(opening.salt).decode(), "content": opening.content})


async def _wording(store: Store, content: Mapping[str, Any]) -> Files:
    """The words that a yes was given to, as they were shown."""
    digest = content.get("record", {}).get("wording")
    found = await store.proofs.wording(digest) if digest else None
    return {f"wordings/{digest}.txt": found["text"].encode()} if found else {}


def _signed(files: Files, said: Mapping[str, Any], issuer: Issuer) -> bytes:
    """The archive, its manifest signed: who drops a file and packs anew has another manifest."""
    listed = {name: hashlib.sha256(octets).hexdigest() for name, octets in files.items()}
    manifest = verify.canonical(dict(said) | {"v": 1, "ledger": issuer.origin, "files": listed})
    note = signed_note(manifest_text(issuer.origin, manifest), issuer.origin, issuer.key)
    octets = archive(files | {MANIFEST: manifest, SIGNATURE: note.encode()})
    if len(octets) > MOST_OCTETS:
        raise Unproven("more than 200 MB: export it mail by mail")
    return octets
