"""The kinds of a registry's entries: promises, purposes, and what stands behind them."""

import datetime as dt
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Basis = Literal["consent", "contract", "legal_obligation", "interest", "existing_customer"]
RecordKind = Literal["assessment", "balancing", "contract", "law", "customer"]
Group = Literal["contact", "profile", "service", "payments", "recovery", "court", "evidence"]
Key = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Template = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Filled = Annotated[str, Meta(min_length=1, max_length=2000)]
FieldName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2}$")]
Version = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$")]

# The bases that a person's no ends.
CHOICE: Final = frozenset({"consent", "interest", "existing_customer"})


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """One text in the two languages of the policy."""

    sl: Filled
    en: Filled


class Sender(Struct, frozen=True, forbid_unknown_fields=True):
    """Who a mail is from: display name and address of the From field."""

    name: Filled
    address: Filled


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """The dated paper behind a purpose. `file` is relative to the registry file.

    `assessment` of compatibility (GDPR 6(4)), `balancing` of interests (6(1)(f)), the `contract` (6(1)(b)), the `law`
    that obliges (6(1)(c)), or how a `customer`'s address was obtained with a sale (ZEKom-2 226(2)).
    """

    kind: RecordKind
    file: Filled
    date: dt.date


class Wording(Struct, frozen=True, forbid_unknown_fields=True):
    """The words that people agreed to, in one version and language: the text is that of `file`, beside the registry."""

    id: Template
    version: Version
    language: Language
    file: Filled


class Fields(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields that a purpose may use, by group (U10)."""

    profile: tuple[FieldName, ...] = ()


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
    the one template that may go out while the permission is pending. `fields` are what its mails may be made individual
    with (U3). `does` says what is done with the address, `reading` how the clause is understood where it could be read
    otherwise.
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
    fields: Fields = Fields()

    @property
    def marketing(self) -> bool:
        """Mail that rests on consent, interest or the exception for customers: what a complaint stops."""
        return self.mail and self.basis in CHOICE

    @property
    def partners(self) -> bool:
        """Whether its mails carry others' offers: all that they show and link to is on the company's own hosts."""
        return self.clause == "U4"

    @property
    def needs_known_person(self) -> bool:
        """Whether an unknown address is refused; contract and legal duty record it themselves."""
        return self.basis in CHOICE

    @property
    def needs_yes(self) -> bool:
        """Whether silence is a no. A customer's yes comes from the shop, which proves it by the contract."""
        return self.basis in {"consent", "existing_customer"}

    @property
    def profiling(self) -> str | None:
        """The switch by which a person objects to individual mail (GDPR 21(2)); None where nothing is individual."""
        return f"{self.key}.profiling" if self.fields.profile else None
