"""Before a mail leaves to somebody whose hold asks for it, its octets are kept as they are (U13)."""

from typing import Final

from preklic_workers.attempts import Attempt
from preklic_workers.envelope import Altered, NoKey
from preklic_workers.outcomes import Outcome
from preklic_workers.permission import Person
from preklic_workers.store.copies import Copy

_SOON: Final = 5.0
NOT_KEPT: Final = "copy_not_kept"


async def keep(attempt: Attempt, person: Person, octets: bytes) -> Outcome | None:
    """None when the mail may go on: nobody asks for its octets, or they are kept. Raises `store.Unavailable`."""
    if not person.keeps:
        return None
    try:
        await attempt.store.holds.copies.keep(person.id, Copy(attempt.job.id, attempt.epoch, octets))
    except NoKey:  # erased and released in this moment: the next attempt reads what there is then
        return await attempt.later(_SOON, NOT_KEPT, count=False)
    except Altered as altered:
        return await attempt.dead("altered", str(altered))
    return None
