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

from preklic_shared import wordings
from preklic_shared.policy_text import Entry, mismatch
from preklic_shared.purposes import Filled, Promise, Purpose, Record, Sender, Wording, Words
from preklic_shared.registry_rules import RegistryError, check_purpose, check_record, read_beside

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


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1)]
    controller: Filled
    policy: Filled
    promises: tuple[Promise, ...]
    purposes: Annotated[tuple[Purpose, ...], Meta(min_length=1)]
    wordings: tuple[Wording, ...] = ()
    timezone: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$")] = "UTC"


class Registry:
    """The purposes of one controller by key, in the file's order; `policy` is the policy's full text.

    `timezone` (an IANA name) is the controller's own: that of mail by local time to whoever has none of their own.
    Immutable; safe to share between threads.
    """

    def __init__(self, file: _File, policy: str, words: Sequence[wordings.Words] = ()) -> None:
        self.version = file.version
        self.controller = file.controller
        self.policy = policy
        self.timezone = file.timezone
        self.promises = file.promises
        self.purposes: Mapping[str, Purpose] = {purpose.key: purpose for purpose in file.purposes}
        self.wordings = wordings.by_place(words)

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
        registry = cls(file, read_beside(source, file.policy, "policy").decode(), _words(file, source))
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
    def sender_domains(self) -> frozenset[str]:
        """The domains that mails come from, in lower case: their Message-IDs end in them."""
        senders = [purpose.sender for purpose in self.purposes.values() if purpose.sender is not None]
        return frozenset(sender.address.rpartition("@")[2].lower() for sender in senders)

    @cached_property
    def revocable(self) -> frozenset[str]:
        """Every key and switch that a person can stop."""
        return frozenset(purpose.key for purpose in self.purposes.values() if purpose.revocable) | self.switches

    @cached_property
    def switches(self) -> frozenset[str]:
        """The switches beside the purposes: tracking, and individual mail."""
        tracking = frozenset(SWITCHES if (kept := self.get(ENGAGEMENT)) is not None and kept.revocable else ())
        return tracking | self.profiling

    @cached_property
    def profiling(self) -> frozenset[str]:
        """The switches by which a person objects to individual mail (U3); each is on until then."""
        return frozenset(switch for purpose in self.purposes.values() if (switch := purpose.profiling) is not None)

    @cached_property
    def partners(self) -> frozenset[str]:
        """The templates of partners' mail (U4): what a partner may ask the counts of."""
        return frozenset(name for purpose in self.purposes.values() if purpose.partners for name in purpose.templates)

    @cached_property
    def marketing(self) -> frozenset[str]:
        """The keys of all marketing mail."""
        return frozenset(purpose.key for purpose in self.purposes.values() if purpose.marketing)


def load_registry(path: Path | None = None) -> Registry:
    """`Registry.load`, for callers that hold the setting `REGISTRY` (None: the shipped default)."""
    return Registry.load(path)


def _words(file: _File, source: Path) -> list[wordings.Words]:
    places = {entry: f"wordings.{_named(entry)}" for entry in file.wordings}
    return [wordings.words_of(entry, read_beside(source, entry.file, place)) for entry, place in places.items()]


def _named(entry: Wording) -> str:
    return f"{entry.id}@{entry.version}.{entry.language}"


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
    if (twice := _first_repeated([_named(entry) for entry in file.wordings])) is not None:
        raise RegistryError(f"wordings.{twice}", "is there twice")


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
