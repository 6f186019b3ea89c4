"""What a registry's entries must fulfil beyond their types.

A purpose that contradicts itself, or lacks the record that its legal basis asks for, is refused with the key at fault.
"""

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from preklic_shared.purposes import Purpose, RecordKind

_MOST_OCTETS: Final = 256 * 1024  # of one file beside the registry
# What mail may open at all; the key directory of `send` holds no other key either (U10).
_FOR_MAIL: Final = frozenset({"contact", "profile"})
_RECORDS: Final[Mapping[str, RecordKind]] = {
    "contract": "contract",
    "legal_obligation": "law",
    "interest": "balancing",
    "existing_customer": "customer",
}


class RegistryError(ValueError):
    """The file cannot be used; `key` is the dotted place at fault."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"registry: {key}: {problem}")
        self.key = key


def check_purpose(purpose: Purpose) -> None:
    """Refuse a purpose whose fields contradict each other."""
    rules = (
        ("templates", bool(purpose.templates) == purpose.mail, "a mail purpose has templates, no other has"),
        ("retry", (purpose.retry != "none") == purpose.mail, "a mail purpose has a retry table, no other has"),
        ("sender", (purpose.sender is not None) == purpose.mail, "a mail purpose has a sender, no other has"),
        ("groups", not purpose.mail or "contact" in purpose.groups, "a mail purpose opens `contact`"),
        ("groups", not purpose.mail or {*purpose.groups} <= _FOR_MAIL, "mail opens `contact` and `profile` alone"),
        ("fields", bool(purpose.fields.profile) == _individual(purpose), "goes with mail that opens `profile`"),
        ("key", len(purpose.profiling or "") <= 64, "leaves no room for its switch"),
        (
            "revocable",
            purpose.revocable or not _persons_choice(purpose),
            "consent, and mail by interest, can be stopped",
        ),
        ("tracking", not purpose.tracking or purpose.basis == "consent", "only mail by consent may be tracked"),
        ("list_id", not purpose.list_id or _is_list_id(purpose.list_id), "is no list id (RFC 2919)"),
        ("list_id", purpose.marketing == bool(purpose.list_id), "marketing mail has a list id, no other has"),
        ("confirm", bool(purpose.confirm) == purpose.double_opt_in, "goes with double_opt_in"),
        ("confirm", purpose.confirm is None or purpose.confirm in purpose.templates, "is no template of this purpose"),
    )
    for field, holds, problem in rules:
        if not holds:
            raise RegistryError(f"purposes.{purpose.key}.{field}", problem)


def check_record(purpose: Purpose, source: Path) -> None:
    """Refuse a purpose whose basis, consent apart, has no dated record behind it, or one that is empty or to come."""
    needed = required_record(purpose)
    if needed is None and purpose.record is None:
        return
    place = f"purposes.{purpose.key}.record"
    if purpose.record is None or (needed is not None and purpose.record.kind != needed):
        raise RegistryError(place, f"a dated {needed} is required")
    if purpose.record.date > dt.datetime.now(dt.UTC).date():
        raise RegistryError(f"{place}.date", "lies in the future")
    read_beside(source, purpose.record.file, f"{place}.file")


def required_record(purpose: Purpose) -> RecordKind | None:
    """The kind of record that a purpose's clause and basis ask for (U16: GDPR 6(4); U17: 6(1)(f)); consent: none."""
    if purpose.clause == "U16":
        return "assessment"
    return "balancing" if purpose.clause == "U17" else _RECORDS.get(purpose.basis)


def _individual(purpose: Purpose) -> bool:
    return purpose.mail and "profile" in purpose.groups


def _persons_choice(purpose: Purpose) -> bool:
    return purpose.basis == "consent" or purpose.marketing


def _is_list_id(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", text) is not None


def read_beside(source: Path, name: str, place: str) -> bytes:
    """The UTF-8 text of the file `name` in the registry's own folder or below it, as its octets."""
    folder = source.parent.resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise RegistryError(place, "lies outside the registry's folder")
    if not file.is_file() or file.stat().st_size > _MOST_OCTETS:
        raise RegistryError(place, f"is missing, or has more than {_MOST_OCTETS} octets")
    octets = file.read_bytes()
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise RegistryError(place, "is no UTF-8 text") from None
    if not text.strip():
        raise RegistryError(place, "is empty")
    return octets
