"""The files by which a bundle of evidence shows when its records existed: a head over them, its stamp, its chain."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from preklic_workers.ledger.key_history import SignedHead
from preklic_workers.ledger.stamped import read_stamp
from preklic_workers.store.stamps import StampStore

_EXPLANATION: Final = """\
SL: Overitelj časa je potrdil, da je podpisani vrh knjige (SIZE.note) obstajal ob navedenem času. Preverite:
EN: An authority stamped that the signed head of the ledger (SIZE.note) existed at the time it says. Check it:

  openssl ts -verify -in SIZE.tsr -data SIZE.note -CAfile chain.pem

chain.pem naj bo overiteljev, dobljen od njega; ta tukaj je tisti, ki mu je knjiga verjela.
Take chain.pem from the authority itself; this one is what the ledger believed it by.
Ko bo potrdilo poteklo / when a certificate has expired since: add -attime SECONDS
"""


async def stamp_over(store: StampStore, places: Sequence[int]) -> tuple[SignedHead | None, dict[str, bytes]]:
    """The first stamped head that all these leaves are under, to prove them by, and the files of its stamp.

    Without such a stamp None, and no files.
    """
    stamp = await store.first_over(max(places))
    head = await store.head(stamp.size) if stamp else None
    if stamp is None or head is None:
        return None, {}
    name = f"stamps/{stamp.size}"
    _, text = read_stamp(stamp.response, name)
    at = dt.datetime.strptime(text[:14] + "Z", "%Y%m%d%H%M%S%z")
    said = _EXPLANATION.replace("SIZE", str(stamp.size)).replace("SECONDS", str(int(at.timestamp())))
    return head, {
        f"{name}.tsr": stamp.response,
        f"{name}.note": head.note.encode(),
        "stamps/chain.pem": stamp.chain.encode(),
        "stamps/README.txt": said.encode(),
    }
