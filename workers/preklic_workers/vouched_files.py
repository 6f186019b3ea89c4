"""The files by which others vouch for a bundle of evidence: stamped and cosigned heads, and how one grew."""

from collections.abc import Iterable, Sequence
from typing import Final

from preklic_workers.ledger.chart import Chart
from preklic_workers.ledger.cosigning import submission
from preklic_workers.ledger.key_history import SignedHead
from preklic_workers.ledger.notes import proof_text
from preklic_workers.ledger.verify import Altered
from preklic_workers.ledger.witnessed import cosignature, key_of
from preklic_workers.stamp_files import stamp_over
from preklic_workers.store.stamps import StampStore

Files = dict[str, bytes]
_EXPLANATION: Final = """\
SL: Priča je podpisala vrh knjige (SIZE.note), ki je zrasel iz vsakega, ki ga je podpisala prej. Preverite:
EN: A witness signed the head of the ledger (SIZE.note), which grew out of each one that it signed before. Check it:

  python3 verify.py BUNDLE --key KEY --witness VKEY

Ključ naj bo od priče same; ta tukaj je tisti, ki mu je knjiga verjela.
Take the key from the witness itself; this one is what the ledger believed it by:

VKEY
"""


async def vouched_over(store: StampStore, places: Sequence[int]) -> tuple[list[SignedHead], Files]:
    """The first stamped and the first cosigned head that all these leaves are under, the smallest first, with files.

    Empty where nobody vouches for one.
    """
    stamped, files = await stamp_over(store, places)
    signed, more = await _cosigned_over(store, places)
    heads = {head.size: head for head in (stamped, signed) if head is not None}
    return [heads[size] for size in sorted(heads)], files | more


async def _cosigned_over(store: StampStore, places: Sequence[int]) -> tuple[SignedHead | None, Files]:
    """Raises Altered where the witness did not sign what is kept."""
    kept = await store.cosignatures.first_over(max(places))
    head = await store.head(kept.size) if kept else None
    if kept is None or head is None:
        return None, {}
    what = f"the cosignature of {kept.size} leaves"
    try:
        cosignature(head.note, kept.line, key_of(kept.vkey), what)
    except ValueError:
        raise Altered(f"{what}: its key is none") from None
    said = _EXPLANATION.replace("SIZE", str(kept.size)).replace("\nVKEY\n", f"\n{kept.vkey}\n")
    return head, {
        f"cosignatures/{kept.size}.note": f"{head.note}{kept.line}\n".encode(),
        "cosignatures/README.txt": said.encode(),
    }


def chart_of(places: Sequence[int], heads: Sequence[SignedHead]) -> Chart:
    """What reads the leaves' hashes for the proofs of these leaves under these heads."""
    return Chart(heads[-1].size, (*places, *(head.size for head in heads)))


def proofs_of(chart: Chart, places: Iterable[int], heads: Sequence[SignedHead]) -> Files:
    """The proofs under the first of the heads, and that it grew into the last one where that is another."""
    first, last = heads[0], heads[-1]
    files = {f"proofs/{one}.tlog-proof": proof_text(one, chart.proof(one, first.size), first.note) for one in places}
    found = {name: text.encode() for name, text in files.items()}
    if last.size > first.size:
        found[f"growth/{last.size}.txt"] = submission(first.size, chart.growth(first.size), last.note)
    return found
