"""Encryption at rest: one random key per person and field group, wrapped under that group's epoch key.

Every ciphertext is AES-256-GCM bound to `person | collection | field`, and every wrapped key to `person | group |
epoch`: moved to another place, edited or cut, it does not open. Layout of both: nonce (12) | ciphertext | tag (16).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from preklic_shared.randomness import random_octets

KEY_BYTES: Final = 32
GROUPS: Final = ("contact", "profile", "service", "payments", "recovery", "court", "evidence")
HOLD: Final = "hold"  # the keys of legal holds: of their epochs upkeep alone has keys
EPOCH_GROUPS: Final = (*GROUPS, HOLD)
_NONCE: Final = 12
_REREAD_EVERY: Final = 1.0  # seconds between readings of the key directory that a key of an unknown epoch asks for

EpochKeys = Mapping[str, Mapping[int, bytes]]
_Wrapper = tuple[int, AESGCM]
"""An epoch's number, and what wraps under its key."""


class NoKey(Exception):
    """This role does not hold the epoch key of that group, or the person's key was erased."""


class Altered(Exception):
    """A ciphertext or wrapped key does not open where it stands: moved, edited or cut. Raise the alarm."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A person's key for one group as it is stored: wrapped under the group's epoch key number `epoch`."""

    epoch: int
    wrapped: bytes


@dataclass(frozen=True, slots=True, repr=False)
class DataKey:
    """A person's key for one group, in the clear: it lives as long as one job."""

    raw: bytes

    def encrypt(self, plain: bytes, person: str, collection: str, field: str) -> bytes:
        """`plain` as a ciphertext for this place alone."""
        nonce = random_octets(_NONCE)
        return nonce + AESGCM(self.raw).encrypt(nonce, plain, bound_to(person, collection, field))

    def decrypt(self, stored: bytes, person: str, collection: str, field: str) -> bytes:
        """What was encrypted for this place. Raises `Altered`."""
        return _open(AESGCM(self.raw), stored, bound_to(person, collection, field))


@dataclass(frozen=True, slots=True, repr=False)
class AnyKey:
    """The keys of a person's group that something may be under: the own one first, then those that holds keep."""

    group: str
    keys: tuple[DataKey, ...] = ()

    def decrypt(self, stored: bytes, person: str, collection: str, field: str) -> bytes:
        """What one of them opens at this place. Raises `NoKey` where there is none, `Altered` where none opens it."""
        for key in self.keys:
            with suppress(Altered):
                return key.decrypt(stored, person, collection, field)
        if self.keys:
            raise Altered(f"{collection}|{field}")
        raise NoKey(self.group)


def nothing_new() -> EpochKeys | None:
    """There is no directory to read again: the keys stay as they are."""
    return None


@dataclass(slots=True, repr=False)
class Epochs:
    """The epoch keys that a role holds: group -> number -> 32 bytes. The highest number wraps, all unwrap.

    `reread` reads the role's directory again, None when it cannot be read now: a turn of the epoch needs no restart.
    """

    keys: EpochKeys
    reread: Callable[[], EpochKeys | None] = nothing_new
    _read_at: float = field(default=float("-inf"), compare=False)
    _ciphers: dict[bytes, AESGCM] = field(default_factory=dict, init=False, compare=False)

    def refresh(self) -> bool:
        """Take the keys that the directory holds now, new ones and no destroyed ones; whether anything changed."""
        self._read_at = time.monotonic()
        found = self.reread()
        if found is None or found == self.keys:
            return False
        self.keys = found
        self._ciphers.clear()
        return True

    def new_key(self, person: str, group: str) -> tuple[DataKey, WrappedKey]:
        """A fresh key for the person and its wrapping under the current epoch. Raises `NoKey`."""
        return self.new_keys([(person, group)])[0]

    def new_keys(self, owners: Sequence[tuple[str, str]]) -> list[tuple[DataKey, WrappedKey]]:
        """Fresh keys for many persons and groups, in their order, as `new_key`."""
        wrappers = {group: self._wrapper(group) for group in {group for _, group in owners}}
        return [_made(wrappers[group], person, group) for person, group in owners]

    def wrap(self, key: DataKey, person: str, group: str) -> WrappedKey:
        """The key under the group's current epoch. Raises `NoKey` when this role does not hold the group."""
        return _wrapped(self._wrapper(group), key.raw, random_octets(_NONCE), person, group)

    def _wrapper(self, group: str) -> _Wrapper:
        epoch = self.current(group)
        return epoch, self._cipher(self.keys[group][epoch])

    def _cipher(self, epoch_key: bytes) -> AESGCM:
        """Made once: making one takes longer than opening a key."""
        found = self._ciphers.get(epoch_key)
        if found is None:
            found = self._ciphers[epoch_key] = AESGCM(epoch_key)
        return found

    def unwrap(self, stored: WrappedKey, person: str, group: str) -> DataKey:
        """The person's key. Raises `NoKey` (group or epoch not held) or `Altered`."""
        epoch_key = of_epoch(self.keys.get(group, {}), stored.epoch)
        if epoch_key is None and self.holds(group) and time.monotonic() - self._read_at >= _REREAD_EVERY:
            self.refresh()
            epoch_key = of_epoch(self.keys.get(group, {}), stored.epoch)
        if epoch_key is None:
            raise NoKey(group)
        return DataKey(_open(self._cipher(epoch_key), stored.wrapped, _wrapping(person, group, stored.epoch)))

    def holds(self, group: str) -> bool:
        """Whether this role can open anything of `group`."""
        return bool(self.keys.get(group))

    def current(self, group: str) -> int:
        """The epoch that wraps. Raises `NoKey` when this role does not hold the group."""
        held = self.keys.get(group)
        if not held:
            raise NoKey(group)
        return max(held)

    def numbers(self) -> dict[str, list[int]]:
        """The epochs held of each group, the oldest first."""
        return {group: sorted(held) for group, held in self.keys.items()}


def _made(wrapper: _Wrapper, person: str, group: str) -> tuple[DataKey, WrappedKey]:
    octets = random_octets(KEY_BYTES + _NONCE)
    raw = octets[:KEY_BYTES]
    return DataKey(raw), _wrapped(wrapper, raw, octets[KEY_BYTES:], person, group)


def _wrapped(wrapper: _Wrapper, raw: bytes, nonce: bytes, person: str, group: str) -> WrappedKey:
    epoch, cipher = wrapper
    return WrappedKey(epoch, nonce + cipher.encrypt(nonce, raw, _wrapping(person, group, epoch)))


def of_epoch(held: Mapping[int, bytes], epoch: int) -> bytes | None:
    """The key of the epoch that something was wrapped in: while a rotation is under way there are two."""
    return held.get(epoch)


def bound_to(person: str, collection: str, field: str) -> bytes:
    """The associated data of a ciphertext. None of the three may hold the separator."""
    if "|" in person or "|" in collection or "|" in field:
        raise ValueError("a place has no |")
    return f"{person}|{collection}|{field}".encode()


def _wrapping(person: str, group: str, epoch: int) -> bytes:
    return bound_to(person, "keys", group) + b"|%d" % epoch


def _open(cipher: AESGCM, stored: bytes, bound: bytes) -> bytes:
    try:
        return cipher.decrypt(stored[:_NONCE], stored[_NONCE:], bound)
    except (InvalidTag, ValueError):
        raise Altered(bound.partition(b"|")[2].decode()) from None
