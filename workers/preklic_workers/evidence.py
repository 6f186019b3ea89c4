"""Evidence: what the ledger proves of a mail or a person, as a bundle that is believed without this software (U13)."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from preklic_workers.ledger import standalone, verify
from preklic_workers.ledger.bundle import MANIFEST, archive
from preklic_workers.ledger.chart import Chart
from preklic_workers.ledger.leaves import Opening, plain
from preklic_workers.ledger.notes import proof_text
from preklic_workers.ledger.runs import Run
from preklic_workers.store import Store

_EXPLANATION: Final = """\
SL: Ta arhiv je dokazilo iz knjige, ki je nihče ne more neopazno spremeniti. Vsak zapis (leaves) je obveza do vsebine
(openings); dokaz (proofs) kaže, da zapis stoji v knjigi, katere podpisani vrh (checkpoint) je naveden v njem. Preverite
ga brez naše programske opreme: python3 verify.py ARHIV --key KLJUČ, pri čemer ključ dobite od drugod, ne iz arhiva.

EN: This archive is evidence from a ledger that nobody can change quietly. Each record (leaves) commits to a content
(openings); a proof (proofs) shows that the record stands in the ledger whose signed head (checkpoint) it carries. Check
it without our software: python3 verify.py ARCHIVE --key KEY, with a key that you have from elsewhere, not from here.

0: true. 1: altered. 2: incomplete. 3: no trust anchor.
"""


class Unproven(Exception):
    """There is nothing to prove yet; the message says what to do."""


@dataclass(frozen=True, slots=True)
class About:
    """What a bundle is about: a `record` (a mail's or another job's id), or a `person` (the suppression hash)."""

    record: str | None = None
    person: str | None = None

    def wants(self, run: Run, place: int, person: str | None) -> bool:
        """Whether this leaf of the run belongs to it: a mail stands beside its person's permissions and withdrawals."""
        theirs = person is not None and run.persons[place - run.start] == person
        kind, _, record = run.records[place - run.start].partition(":")
        return (theirs and (self.record is None or kind in {"permissions", "withdrawals"})) or record == self.record


async def export(store: Store, about: About, origin: str, keys: Sequence[bytes], by: str, why: str) -> bytes:
    """The bundle's octets. Raises Unproven, Unavailable. `keys`: the ledger's public keys, the newest last."""
    heads = await store.ledger.checkpoints()
    if not heads:
        raise Unproven("nothing is signed yet: preklic worker ledger signs a head each minute")
    size, note = heads[-1]
    files: dict[str, bytes] = {"verify.py": standalone.source(), "README.txt": _EXPLANATION.encode()}
    places: list[int] = []
    person = await _person(store, about)
    async for run in store.ledger.runs(person):
        chosen = [place for place in range(run.start, min(run.end, size)) if about.wants(run, place, person)]
        for place, opening in (await store.ledger.opened(run, chosen)).items():
            files[f"leaves/{place}.json"] = run.leaves[place - run.start]
            if opening is not None:
                files[f"openings/{place}.json"] = _opening(opening)
                files |= await _wording(store, opening.content)
        places += chosen
    if not places:
        raise Unproven("the ledger has nothing about it under a signed head yet; wait a minute, or check the id")
    chart = await _chart(store, size, places)
    files |= {f"proofs/{place}.tlog-proof": proof_text(place, chart.proof(place), note).encode() for place in places}
    said = {"about": plain({"record": about.record, "person": about.person}), "by": by, "why": why}
    return archive(files | {MANIFEST: _manifest(files, origin, keys, store, said, places)})


async def _person(store: Store, about: About) -> str | None:
    """Whose leaves are looked through: a mail's person's, all where it has none."""
    return about.person if about.record is None else (await store.messages.show(about.record) or {}).get("person")


async def _chart(store: Store, size: int, places: Sequence[int]) -> Chart:
    chart = Chart(size, places)
    async for run in store.ledger.runs():
        chart.read(run.hashes)
    return chart


def _opening(opening: Opening) -> bytes:
    return verify.canonical({"salt": base64.b64encode(opening.salt).decode(), "content": opening.content})


async def _wording(store: Store, content: Mapping[str, Any]) -> dict[str, bytes]:
    """The words that a yes was given to, as they were shown."""
    digest = content.get("record", {}).get("wording")
    found = await store.proofs.wording(digest) if digest else None
    return {f"wordings/{digest}.txt": found["text"].encode()} if found else {}


def _manifest(
    files: Mapping[str, bytes],
    origin: str,
    keys: Sequence[bytes],
    store: Store,
    said: Mapping[str, Any],
    places: Sequence[int],
) -> bytes:
    fields = dict(said) | {
        "v": 1,
        "made": plain(store.mongo.now()),
        "ledger": origin,
        "keys": [key.hex() for key in keys],
        "files": {name: hashlib.sha256(octets).hexdigest() for name, octets in files.items()},
        "leaves": [{"place": place} for place in places],
    }
    return verify.canonical(fields)
