"""Evidence: what the ledger proves of a mail, a person or a case, as a bundle that is believed without this software.

Each function that gathers answers files of the archive by name; the manifest lists them all and is signed (U13).
"""

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from preklic_shared.registry import Registry
from preklic_workers.dkim_keys import DkimKey
from preklic_workers.evidence_mails import octets_of, records_of
from preklic_workers.evidence_paper import paper
from preklic_workers.evidence_records import COLLECTION, batched_of, files_of, wordings_of
from preklic_workers.evidence_scope import About, Scope, scope_of, told
from preklic_workers.evidence_words import ENGLISH, SLOVENIAN
from preklic_workers.ledger import standalone, verify
from preklic_workers.ledger.archive import MOST_FILES, MOST_OCTETS, archive
from preklic_workers.ledger.batched import RECORDS
from preklic_workers.ledger.bundle import MANIFEST, SIGNATURE, manifest_text
from preklic_workers.ledger.key_history import Reign, SignedHead, history
from preklic_workers.ledger.leaves import Opening, plain
from preklic_workers.ledger.notes import signed_note
from preklic_workers.ledger.runs import Run
from preklic_workers.store import Store
from preklic_workers.vouched_files import chart_of, proofs_of, vouched_over

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
    newest = max((reign.last for reign in reigns), key=lambda last: last.size)
    scope = await scope_of(store, about)
    files, said = await _proven(store, scope, newest, read)
    mails = await octets_of(store, scope, issuer.registry)
    files |= mails | {"dkim.json": records_of(mails, issuer.dkim)}
    files |= _heads(reigns) | {"custody.json": verify.canonical(told(scope.custody))}
    said |= {"about": _about(about), "by": by, "why": why, "made": plain(store.mongo.now())}
    files |= {"verify.py": standalone.source(), "README.txt": f"{SLOVENIAN}\n{ENGLISH}".encode()}
    files |= {"explanation.pdf": paper(_facts(said, issuer, files, len(mails)))}
    said |= {"keys": [one.said() for one in reigns if one.public is not None]}
    said |= {"strange_keys": strange} if (strange := [one.said() for one in reigns if one.public is None]) else {}
    return _signed(files, said, issuer)


async def _proven(
    store: Store, scope: Scope, newest: SignedHead, read: Callable[[int], None]
) -> tuple[Files, dict[str, Any]]:
    """What the ledger proves, with the proofs, and what the manifest says of it."""
    batched = await batched_of(store, scope)
    found = await _leaves(store, replace(scope, batches=batched.batches), newest.size, read)
    if not found.places:
        raise Unproven("the ledger has nothing about it under a signed head yet; wait a minute, or check the id")
    heads, vouched = await vouched_over(store.ledger.stamps, found.places)
    heads = heads or [newest]
    chart = chart_of(found.places, heads)
    async for hashes in store.ledger.stamps.leaf_hashes(heads[-1].size):
        chart.read(hashes)
        read(len(hashes))
    records, gone = await files_of(store, batched, found.batches)
    files = found.files | records | vouched | proofs_of(chart, found.places, heads)
    files |= await _wordings(store, found.wordings | wordings_of(batched))
    return files, {"leaves": [{"place": place} for place in found.places]} | ({"gone": gone} if gone else {})


def _about(about: About) -> dict[str, str]:
    named = {"record": about.record, "person": about.person, "case": about.case}
    return {name: value for name, value in named.items() if value is not None}


def _facts(said: Mapping[str, Any], issuer: Issuer, files: Iterable[str], mails: int) -> dict[str, str]:
    """What the page says of this bundle."""
    records = sum(name.startswith(("leaves/", RECORDS)) for name in files)
    about = ", ".join(f"{name} {text}" for name, text in said["about"].items())
    facts = {"about": about} | {name: said[name] for name in ("why", "by", "made")}
    facts |= {"ledger": issuer.origin, "key": issuer.publics()[-1].hex()}
    return facts | {"records": str(records), "mails": str(mails)}


@dataclass(slots=True)
class _Leaves:
    """Leaves and what opens them, as files; their places, the batches that they are of, the wordings that they name."""

    files: Files = field(default_factory=dict)
    places: list[int] = field(default_factory=list)
    batches: set[str] = field(default_factory=set)
    wordings: set[str] = field(default_factory=set)

    def add(self, place: int, leaf: bytes, opening: Opening | None) -> None:
        """The next one; None where an erasure took what opens it."""
        self.places.append(place)
        self.files[f"leaves/{place}.json"] = leaf
        if opening is not None:
            self.files[f"openings/{place}.json"] = _opening(opening)
            content = opening.content
            self.batches |= {content["of"]} if content["in"] == COLLECTION else set()
            self.wordings |= {digest} if (digest := content["record"].get("wording")) else set()


async def _leaves(store: Store, scope: Scope, size: int, read: Callable[[int], None]) -> _Leaves:
    """The leaves of the scope below the head of this size, what opens them, and their places."""
    found = _Leaves()
    async for run in _runs(store, scope, size):
        chosen = [place for place in range(run.start, min(run.end, size)) if scope.wants(run, place)]
        for place, opening in (await store.ledger.opened(run, chosen)).items():
            found.add(place, run.leaves[place - run.start], opening)
        if len(found.places) > MOST_LEAVES:
            raise Unproven(f"more than {MOST_LEAVES} records: export it mail by mail")
        read(len(run.leaves))
    return found


def _runs(store: Store, scope: Scope, size: int) -> AsyncIterator[Run]:
    """The runs that may hold leaves of the scope."""
    person = scope.narrow()
    if person is None or not scope.batches:
        return store.ledger.runs(person)
    return store.ledger.runs_with(person, [f"{COLLECTION}:{batch}" for batch in scope.batches], size)


def _heads(reigns: Sequence[Reign]) -> Files:
    """The heads that show from when until when each key signed."""
    ends = [head for one in reigns if one.public is not None for head in (one.first, one.last)]
    return {f"checkpoints/{head.size}.note": head.note.encode() for head in ends}


def _opening(opening: Opening) -> bytes:
    return verify.canonical({"salt": base64.b64encode(opening.salt).decode(), "content": opening.content})


async def _wordings(store: Store, digests: Iterable[str]) -> Files:
    """The words that a yes was given to, as they were shown."""
    found = {digest: await store.proofs.wording(digest) for digest in sorted(digests)}
    return {f"wordings/{digest}.txt": doc["text"].encode() for digest, doc in found.items() if doc is not None}


def _signed(files: Files, said: Mapping[str, Any], issuer: Issuer) -> bytes:
    """The archive, its manifest signed: who drops a file and packs anew has another manifest."""
    listed = {name: hashlib.sha256(octets).hexdigest() for name, octets in files.items()}
    manifest = verify.canonical(dict(said) | {"v": 1, "ledger": issuer.origin, "files": listed})
    note = signed_note(manifest_text(issuer.origin, manifest), issuer.origin, issuer.key)
    files = files | {MANIFEST: manifest, SIGNATURE: note.encode()}
    if len(files) > MOST_FILES:
        raise Unproven(f"more than {MOST_FILES} files: export it mail by mail")
    octets = archive(files)
    if len(octets) > MOST_OCTETS:
        raise Unproven("more than 200 MB: export it mail by mail")
    return octets
