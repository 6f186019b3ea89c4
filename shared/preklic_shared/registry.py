"""The registry: a controller's policy as data. A purpose exists only here; nothing else names one.

`registry_data/lucrum.toml` is the shipped default. Loading is strict: an unknown key, a wrong type, a purpose without
the record its legal basis asks for, and the whole file is refused, naming the key.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from preklic_shared.policy_text import Entry, mismatch
from preklic_shared.purposes import Filled, Promise, Purpose, Record, Sender, Words

__all__ = [
    "DEFAULT",
    "ENGAGEMENT",
    "SWITCHES",
    "Promise",
    "Purpose",
    "Record",
    "Registry",
    "RegistryError",
    "Sender",
    "Words",
    "load_registry",
]

DEFAULT: Final = Path(__file__).parent / "registry_data" / "lucrum.toml"

# A no to tracking is kept apart for opens and clicks (U12), as switches under this purpose.
ENGAGEMENT: Final = "engagement"
SWITCHES: Final = ("engagement.opens", "engagement.clicks")


class RegistryError(ValueError):
    """The file cannot be used; `key` is the dotted place at fault."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"registry: {key}: {problem}")
        self.key = key


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1)]
    controller: Filled
    policy: Filled
    promises: tuple[Promise, ...]
    purposes: Annotated[tuple[Purpose, ...], Meta(min_length=1)]


class Registry:
    """The purposes of one controller by key, in the file's order; `policy` is the policy's full text.

    Immutable; safe to share between threads.
    """

    def __init__(self, file: _File, policy: str) -> None:
        self.version = file.version
        self.controller = file.controller
        self.policy = policy
        self.promises = file.promises
        self.purposes: Mapping[str, Purpose] = {purpose.key: purpose for purpose in file.purposes}

    @classmethod
    def load(cls, path: Path | None = None) -> "Registry":
        """Read and check the TOML file at `path` (default LUCRUM's); RegistryError names the key at fault."""
        source = path or DEFAULT
        try:
            raw = tomllib.loads(source.read_text(encoding="utf-8"))
        except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
            raise RegistryError("file", str(error)) from None
        file = _convert(raw)
        _check_keys(file)
        registry = cls(file, _read_beside(source, file.policy, "policy"))
        for purpose in registry.purposes.values():
            check_purpose(purpose)
            check_record(purpose, source)
        check_policy(registry, policy_language(file.policy))
        return registry

    def get(self, key: str) -> Purpose | None:
        """The purpose named `key`, or None: what is not registered may not be done."""
        return self.purposes.get(key)

    def for_mail(self, key: str, template: str) -> Purpose | None:
        """The purpose if a mail may name it with this template, else None (`purpose_denied`)."""
        purpose = self.get(key)
        if purpose is None or not purpose.mail or template not in purpose.templates:
            return None
        return purpose

    def may_open(self, group: str, key: str) -> bool:
        """Whether fields of `group` may be decrypted for the purpose `key` (promise P2)."""
        purpose = self.get(key)
        return purpose is not None and group in purpose.groups

    @cached_property
    def revocable(self) -> frozenset[str]:
        """Every key and tracking switch that a person can stop."""
        keys = {purpose.key for purpose in self.purposes.values() if purpose.revocable}
        return frozenset(keys | set(SWITCHES)) if ENGAGEMENT in keys else frozenset(keys)

    @cached_property
    def marketing(self) -> frozenset[str]:
        """The keys of all marketing mail."""
        return frozenset(purpose.key for purpose in self.purposes.values() if purpose.marketing)


def load_registry(path: Path | None = None) -> Registry:
    """`Registry.load`, for callers that hold the setting `REGISTRY` (None: the shipped default)."""
    return Registry.load(path)


def check_purpose(purpose: Purpose) -> None:
    """Refuse a purpose whose fields contradict each other."""
    rules = (
        ("templates", bool(purpose.templates) == purpose.mail, "a mail purpose has templates, no other has"),
        ("retry", (purpose.retry != "none") == purpose.mail, "a mail purpose has a retry table, no other has"),
        ("sender", (purpose.sender is not None) == purpose.mail, "a mail purpose has a sender, no other has"),
        ("groups", not purpose.mail or "contact" in purpose.groups, "a mail purpose opens `contact`"),
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
    """Refuse a purpose by interest without its balancing, and a compatible one without its assessment."""
    needed = required_record(purpose)
    if needed is None and purpose.record is None:
        return
    place = f"purposes.{purpose.key}.record"
    if purpose.record is None or (needed is not None and purpose.record.kind != needed):
        raise RegistryError(place, f"a dated {needed} is required")
    _read_beside(source, purpose.record.file, f"{place}.file")


def check_policy(registry: Registry, language: Literal["sl", "en"]) -> None:
    """Refuse a registry whose texts are not the policy's, clause by clause and letter by letter."""
    promises = [(f"promises.{each.clause}", each.clause, each.text) for each in registry.promises]
    purposes = [(f"purposes.{each.key}", each.clause, each.text) for each in registry.purposes.values()]
    entries = [
        Entry(f"{key}.text.{language}", clause, getattr(text, language)) for key, clause, text in promises + purposes
    ]
    if (found := mismatch(registry.policy, entries)) is not None:
        raise RegistryError(found.key, found.problem)


def policy_language(name: str) -> Literal["sl", "en"]:
    """The language of the policy's file, by its name: `policy.en.txt` is English, any other Slovenian."""
    return "en" if name.endswith(".en.txt") else "sl"


def required_record(purpose: Purpose) -> Literal["assessment", "balancing"] | None:
    """The kind of record that a purpose's clause and basis ask for (U16: GDPR 6(4); U17: 6(1)(f))."""
    if purpose.clause == "U16":
        return "assessment"
    return "balancing" if purpose.basis == "interest" or purpose.clause == "U17" else None


def _persons_choice(purpose: Purpose) -> bool:
    return purpose.basis == "consent" or purpose.marketing


def _is_list_id(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", text) is not None


def _convert(raw: Mapping[str, Any]) -> _File:
    try:
        return msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise RegistryError(_place(raw, str(error)), str(error).partition(" - at ")[0]) from None


def _check_keys(file: _File) -> None:
    if (twice := _first_repeated([purpose.key for purpose in file.purposes])) is not None:
        raise RegistryError(f"purposes.{twice}", "is there twice")
    if (twice := _first_repeated([promise.clause for promise in file.promises])) is not None:
        raise RegistryError(f"promises.{twice}", "is there twice")


def _read_beside(source: Path, name: str, place: str) -> str:
    """The text of the file `name` in the registry's own folder or below it."""
    folder = source.parent.resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise RegistryError(place, "lies outside the registry's folder")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if not text.strip():
        raise RegistryError(place, "is missing or empty")
    return text


def _first_repeated(values: Sequence[str]) -> str | None:
    return next((value for i, value in enumerate(values) if value in values[:i]), None)


def _place(raw: Mapping[str, Any], message: str) -> str:
    """The dotted key of a msgspec error: `$.purposes[3].lane` becomes `purposes.proposals.lane`."""
    place = re.search(r"at `\$\.?(.*)`", message)
    dotted = place[1] if place else ""
    entry = re.match(r"purposes\[(\d+)]", dotted)
    if entry:
        key = raw["purposes"][int(entry[1])]
        name = key.get("key", entry[1]) if isinstance(key, dict) else entry[1]
        dotted = dotted.replace(entry[0], f"purposes.{name}", 1)
    unknown = re.search(r"(?:unknown|missing required) field `(.*?)`", message)
    return ".".join(part for part in (dotted, unknown[1] if unknown else "") if part) or "file"
