"""The policy's own answer to every mail, as ordered sentences over plain words: nothing here asks the code.

`CASES` are all combinations; `answer` is the reason of the first sentence that holds, None when the mail may go.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from preklic_shared.registry import Purpose, load_registry

REGISTRY = load_registry()
OFFERS = REGISTRY.purposes["offers"]
# LUCRUM has no mail by interest or by a law's order; another controller may.
NOTICES = structs.replace(OFFERS, key="notices", clause="U17", basis="interest")
SUMMONS = structs.replace(REGISTRY.purposes["payment"], key="summons", basis="legal_obligation")

CONSENT: Final = {"offers", "newsletter", "proposals", "partner_offers"}  # U1 to U4
INTEREST: Final = {"notices"}  # U17
ORDERED: Final = {"payment", "summons"}  # U5, and what a law demands
NO_MAIL: Final = {"statistics", "storage", "unheard_of", "another_template"}
CHOICE: Final = CONSENT | INTEREST

SAID: Final = (None, "granted", "pending", "withdrawn", "objected")
# carried, expired, confirming: every job, and those that nothing but the person can refuse.
JOBS: Final = tuple(itertools.product((True, False), (False, True), (False, True)))
GOOD: Final = ((True, False, False), (True, False, True))
SUPPRESSIONS: Final = tuple(
    kinds for size in range(4) for kinds in itertools.combinations(("bounce", "complaint", "erased"), size)
)


@dataclass(frozen=True, slots=True)
class Someone:
    """What is recorded of one person: what they said of this purpose, and of every other one."""

    said: str | None = None
    of_others: str | None = None
    suppressed: tuple[str, ...] = ()
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One mail. `someone` is None where nobody of that address is recorded."""

    use: str
    someone: Someone | None
    carried: bool = True
    expired: bool = False
    confirming: bool = False

    def suppressed(self, kind: str) -> bool:
        return self.someone is not None and kind in self.someone.suppressed

    def says(self, state: str | None) -> bool:
        return self.someone is not None and self.someone.said == state


SENTENCES: Final[tuple[tuple[str, Callable[[Case], bool]], ...]] = (
    ("expired", lambda c: c.expired),
    ("purpose_denied", lambda c: c.use in NO_MAIL),
    ("processor_invalid", lambda c: not c.carried),
    ("unknown", lambda c: c.use in CHOICE and c.someone is None),
    ("erased", lambda c: c.someone is not None and c.someone.erased),
    ("suppressed_erased", lambda c: c.use in CHOICE and c.suppressed("erased")),
    ("suppressed_complaint", lambda c: c.use in CHOICE and c.suppressed("complaint")),
    ("suppressed_bounce", lambda c: c.use in CHOICE and c.suppressed("bounce")),
    ("objected", lambda c: c.use in CHOICE and c.says("objected")),
    ("withdrawn", lambda c: c.use in CHOICE and c.says("withdrawn")),
    ("no_permission", lambda c: c.use in CONSENT and c.says(None)),
    ("pending", lambda c: c.use in CONSENT and c.says("pending") and not c.confirming),
)


def answer(case: Case) -> str | None:
    return next((reason for reason, holds in SENTENCES if holds(case)), None)


def everybody() -> Iterator[Someone]:
    for said, others, suppressed, erased in itertools.product(SAID, SAID, SUPPRESSIONS, (False, True)):
        yield Someone(said, others, suppressed, erased)


def cases(jobs: Sequence[tuple[bool, bool, bool]] = JOBS) -> Iterator[Case]:
    uses = sorted(CHOICE | ORDERED | NO_MAIL)
    for use, someone, job in itertools.product(uses, [None, *everybody()], jobs):
        yield Case(use, someone, *job)


def purpose_of(use: str) -> Purpose | None:
    """What the registry says of the purpose that a mail names, asked as the send path asks."""
    if use in {"notices", "summons"}:
        return NOTICES if use == "notices" else SUMMONS
    if use == "another_template":
        return REGISTRY.for_mail("newsletter", "payment")
    purpose = REGISTRY.get(use)
    # The send path never gets the purpose of another use; the rule itself is asked all the same.
    return purpose if purpose is None or not purpose.mail else REGISTRY.for_mail(use, purpose.templates[0])
