"""The kinds of a registry's entries: promises, purposes, and what stands behind them."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta, Struct

Basis = Literal["consent", "contract", "legal_obligation", "interest"]
Group = Literal["contact", "profile", "service", "payments", "recovery", "court", "evidence"]
Key = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Template = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Filled = Annotated[str, Meta(min_length=1, max_length=2000)]


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """One text in the two languages of the policy."""

    sl: Filled
    en: Filled


class Sender(Struct, frozen=True, forbid_unknown_fields=True):
    """Who a mail is from: display name and address of the From field."""

    name: Filled
    address: Filled


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """The dated paper behind a purpose: GDPR 6(4) assessment of compatibility, or 6(1)(f) balancing.

    `file` is relative to the registry file.
    """

    kind: Literal["assessment", "balancing"]
    file: Filled
    date: dt.date


class Promise(Struct, frozen=True, forbid_unknown_fields=True):
    """What the controller promises whatever the purpose. `does`: what the software does to keep it."""

    clause: Annotated[str, Meta(pattern=r"^P[0-9]{1,2}$")]
    text: Words
    does: Words | None = None


class Purpose(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One use of an address. Times are seconds unless the name says days.

    `mail`: a send may name it. `revocable`: a person can stop it. `tracking`: its mails may carry a pixel and counted
    links, when the person permits them. `groups`: the field groups it may decrypt. `in_doubt`: what follows a hand-over
    whose end is unknown. `retry`: a table of `backoff`. `list_id` is RFC 2919's, `confirm`
    the one template that may go out while the permission is pending. `does` says what is done with the address,
    `reading` how the clause is understood where it could be read otherwise.
    """

    key: Key
    clause: Annotated[str, Meta(pattern=r"^U[0-9]{1,2}$")]
    title: Words
    text: Words
    basis: Basis
    mail: bool
    revocable: bool
    groups: tuple[Group, ...]
    retention_days: Annotated[int, Meta(ge=1, le=36500)]
    lane: Literal["now", "bulk"] = "bulk"
    tracking: bool = False
    templates: tuple[Template, ...] = ()
    in_doubt: Literal["never", "once_more", "ask"] = "never"
    expires: Annotated[int, Meta(ge=60, le=31_622_400)] = 259_200
    retry: Literal["marketing", "transactional", "none"] = "none"
    sender: Sender | None = None
    list_id: str = ""
    double_opt_in: bool = False
    confirm: Template | None = None
    does: Words | None = None
    reading: Words | Filled | None = None
    record: Record | None = None

    @property
    def marketing(self) -> bool:
        """Mail that rests on consent or interest: what a complaint stops."""
        return self.mail and self.basis in {"consent", "interest"}

    @property
    def needs_known_person(self) -> bool:
        """Whether an unknown address is refused; contract and legal duty record it themselves."""
        return self.basis in {"consent", "interest"}
