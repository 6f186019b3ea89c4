"""Has each newest head signed by a witness elsewhere, too (C2SP tlog-witness): it signs no second history of a ledger.

It runs beside the sequencer and never holds it up. The witness remembers the last head that it signed, and refuses one
that did not grow out of it: then this ledger was cut or written anew, or restored from a backup. What it signs is kept,
for bundles of evidence.
"""

from hashlib import sha256
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_shared.settings import SettingsError
from preklic_shared.stamp_settings import Cosigner
from preklic_workers.exchange import Unanswered, exchange
from preklic_workers.ledger.cosigning import growth, latest_size, submission
from preklic_workers.ledger.key_history import SignedHead
from preklic_workers.ledger.verify import MOST_NOTE, Altered
from preklic_workers.ledger.witnessed import CosignerKey, cosignature, key_of
from preklic_workers.store.cosignatures import Kept
from preklic_workers.store.stamps import StampStore

EVERY: Final = 60.0
MOST_LEAVES: Final = 500_000
"""That a head is ahead of the witness's: 16 MB of hashes. From further behind it comes by steps."""
_MOST: Final = 20_000  # octets of an answer; ours have about 150
_MOVES: Final = 3  # of the witness in one round: once after a start, and when another process asks it, too
_REFUSED: Final = frozenset({403, 404, 422})
_ANSWER: Final = "the witness's answer"

log = telemetry.logger(__name__)


def cosigner_key(settings: Cosigner) -> CosignerKey:
    """The key that the settings name. Raises SettingsError."""
    try:
        return key_of(settings.key)
    except ValueError as bad:
        raise SettingsError("COSIGNER__KEY", str(bad)) from None


class Submitter:
    """Submits heads. Its rounds raise `Unavailable` alone."""

    def __init__(self, store: StampStore, settings: Cosigner, key: CosignerKey) -> None:
        self._store = store
        self._url = settings.url.rstrip("/") + "/add-checkpoint"
        self._vkey = settings.key
        self._key = key
        self._last = 0  # the size that the witness has signed last, as far as this process knows
        self._lost: SignedHead | None = None  # it signed this one, and its answer was not kept: it is asked again

    async def once(self) -> None:
        """Submit what is newer than the witness's head, by steps, until it has the newest."""
        outcome, moves = "kept", 0
        while outcome == "kept" and (head := await self._next()):
            outcome = await self._submit(head)
            if outcome == "moved" and moves < _MOVES:
                outcome, moves = "kept", moves + 1
                continue
            metrics.COSIGNATURES.labels(outcome).inc()
            if outcome != "kept":
                log.warning("a head was not cosigned", reason=outcome, count=head.size)
        lacks = await self._store.count_after(self._last)
        metrics.COSIGNER_BEHIND.set(float("inf") if outcome == "refused" else lacks)

    async def _next(self) -> SignedHead | None:
        return self._lost or await self._store.next_head(self._last, MOST_LEAVES)

    async def _submit(self, head: SignedHead) -> str:
        """`kept`, `away`, `unsigned` (an answer that is not believed), `refused`, or `moved`: it was elsewhere."""
        body = submission(self._last, await self._growth(head.size), head.note)
        try:
            status, octets = await exchange(self._url, body, "text/plain; charset=utf-8", _MOST)
        except Unanswered:
            return "away"
        if status != 409:
            return await self._answered(status, octets, head)
        known = latest_size(octets)
        theirs = await self._store.head(known) if known else None
        if known is None or (known > 0 and theirs is None):
            return "refused"  # it has signed what this ledger does not have
        lost = known != self._last and not await self._store.cosignatures.has(known)
        self._last, self._lost = known, theirs if lost else None
        return "moved"

    async def _answered(self, status: int, octets: bytes, head: SignedHead) -> str:
        if status != 200:
            return "refused" if status in _REFUSED else "away"
        try:
            signed = cosignature(head.note, octets.decode(), self._key, _ANSWER)
        except (Altered, ValueError):
            return "unsigned"
        await self._store.cosignatures.keep(Kept(head.size, signed.line, self._vkey, self._store.now()))
        self._last, self._lost = head.size, None
        return "kept"

    async def _growth(self, size: int) -> list[bytes]:
        """The proof from the last size to this one."""
        if not 0 < self._last < size:
            return []
        return growth(self._last, *await self._store.edge_and_since(self._last, size))


async def last_cosigned(settings: Cosigner, origin: str) -> str | None:
    """The last head that the witness says it signed for this ledger; None when it knows none.

    Raises Unanswered, SettingsError, and Altered for an answer that it did not sign.
    """
    prefix, key = (settings.monitor or settings.url).rstrip("/"), cosigner_key(settings)
    status, octets = await exchange(f"{prefix}/{sha256(origin.encode()).hexdigest()}/checkpoint", None, "", MOST_NOTE)
    if status == 404:
        return None
    if status != 200:
        raise Unanswered(str(status))
    note = octets.decode("utf-8", "replace")
    cosignature(note, note.rpartition("\n\n")[2], key, _ANSWER)
    return note
