"""Making and turning keys: one directory for each role below a root, and the signed file of public keys for producers.

The root is made once, on a safe host; each role's directory is then copied to where the role runs, and nowhere else.
Every step writes whole files that were not there before, so one that is killed half-way is simply run again.
"""

import datetime as dt
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared.sealing import sign_public_file
from preklic_workers.dkim_keys import DkimKey, Kind, generate
from preklic_workers.envelope import GROUPS, KEY_BYTES
from preklic_workers.keydir import ROLES, KeyDirError, KeyFile, check
from preklic_workers.moments import millis

PUBLIC: Final = "producers"
PUBLIC_FILE: Final = "sealing.json"
PIN_FILE: Final = "root.pub"
# Sealing keys turn weekly; a day more, so that a late turn stops nobody.
VALID: Final = dt.timedelta(days=8)
SEALING_KEPT: Final = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """One key of one role: `kind` is sealing, epoch, blind, token or root; `days` its age."""

    role: str
    name: str
    kind: str
    days: float


def init_keys(root: Path, now: dt.datetime) -> None:
    """Make all keys of a new installation below `root`, which must be empty or absent. Raises KeyDirError."""
    if root.exists() and any(root.iterdir()):
        raise KeyDirError(root, "is not empty", "keys are made once; turn them with: preklic keys rotate")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for role in ROLES:
        (root / role).mkdir(mode=0o700)
    _share(root, [role for role, needs in ROLES.items() if needs.tokens], "1.token")
    for name in ("lookup", "suppress"):
        _share(root, [role for role, needs in ROLES.items() if name in needs.blind], f"{name}.hmac")
    for group in GROUPS:
        _share(root, _holders(group), f"{group}.1.epoch")
    _share(root, [role for role, needs in ROLES.items() if needs.root], "root.ed25519")
    turn_sealing(root, now)


def turn_sealing(root: Path, now: dt.datetime) -> None:
    """A new sealing key for each role that opens jobs, and a new signed file; older private keys stay for 30 days."""
    made = now.strftime("%Y%m%d-%H%M%S")
    for role in _sealed_roles():
        _write(root / role / f"{role}-{made}.x25519", X25519PrivateKey.generate().private_bytes_raw())
    publish(root, now)


def publish(root: Path, now: dt.datetime) -> Path:
    """Sign the newest public sealing keys for producers; the file's path. Raises KeyDirError."""
    public = {}
    for role in _sealed_roles():
        newest = max((file for file in check(root / role, role) if file.sealing), key=lambda file: file.path.name)
        private = X25519PrivateKey.from_private_bytes(newest.path.read_bytes())
        public[role] = (str(newest.sealing), private.public_key().public_bytes_raw())
    signer = Ed25519PrivateKey.from_private_bytes((root / "upkeep" / "root.ed25519").read_bytes())
    signed = sign_public_file(public, signer, issued=millis(now), expires=millis(now + VALID))
    (root / PUBLIC).mkdir(mode=0o755, exist_ok=True)
    _replace(root / PUBLIC / PIN_FILE, signer.public_key().public_bytes_raw().hex().encode())
    return _replace(root / PUBLIC / PUBLIC_FILE, signed)


def drop_old_sealing(root: Path, now: dt.datetime) -> list[Path]:
    """Delete private sealing keys of more than 30 days, never the newest; what was sealed to them is gone for ever."""
    gone = []
    for role in _sealed_roles():
        files = sorted((file.path for file in check(root / role, role) if file.sealing), key=lambda path: path.name)
        gone += [path for path in files[:-1] if _age(path, now) > SEALING_KEPT]
    for path in gone:
        path.unlink()
    return gone


def turn_epochs(root: Path) -> dict[str, int]:
    """A new epoch key for each field group, in every role that holds it; the numbers.

    A turn that was killed half-way is finished instead: the newest key goes to those that lack it. Readers of the old
    epoch keep it until `drop_epoch`.
    """
    numbers = {}
    for group in GROUPS:
        roles = _holders(group)
        newest = {role: _newest(root, role, group) for role in roles}
        number = max(newest.values())
        if finished(newest):
            number += 1
            _share(root, roles, f"{group}.{number}.epoch")
        else:
            holder = max(newest, key=lambda role: newest[role])
            key = (root / holder / f"{group}.{number}.epoch").read_bytes()
            for role in roles:
                if newest[role] < number:
                    _write(root / role / f"{group}.{number}.epoch", key)
        numbers[group] = number
    return numbers


def finished(newest: Mapping[str, int]) -> bool:
    """Whether the last turn reached every role: `newest` is the newest epoch that each role has."""
    return min(newest.values()) == max(newest.values())


def drop_epoch(root: Path, group: str, number: int) -> None:
    """Destroy an epoch key of a group on this host: what is still wrapped under it is gone. Raises KeyDirError."""
    for role in _holders(group):
        if _newest(root, role, group) <= number:
            raise KeyDirError(
                root / role, f"has no newer epoch of {group}", "turn the epoch first: preklic keys rotate"
            )
    for role in _holders(group):
        (root / role / f"{group}.{number}.epoch").unlink(missing_ok=True)


def status(root: Path, now: dt.datetime) -> list[KeyStatus]:
    """Every key of every role that has a directory below `root`, checked. Raises KeyDirError."""
    return [
        KeyStatus(role, file.path.name, _kind(file), _age(file.path, now) / dt.timedelta(days=1))
        for role in ROLES
        if (root / role).exists()
        for file in check(root / role, role)
    ]


def _holders(group: str) -> list[str]:
    return [role for role, needs in ROLES.items() if group in needs.groups]


def _sealed_roles() -> list[str]:
    return [role for role, needs in ROLES.items() if needs.sealing]


def _newest(root: Path, role: str, group: str) -> int:
    return max(file.epoch for file in check(root / role, role) if file.group == group)


def _kind(file: KeyFile) -> str:
    kinds = {"sealing": file.sealing, "epoch": file.group, "blind": file.blind, "root": file.root, "dkim": file.dkim}
    return next((kind for kind, value in kinds.items() if value), "token")


def _age(path: Path, now: dt.datetime) -> dt.timedelta:
    return now - dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)


def _share(root: Path, roles: Sequence[str], name: str) -> None:
    key = secrets.token_bytes(KEY_BYTES)
    for role in roles:
        _write(root / role / name, key)


def _write(path: Path, key: bytes) -> None:
    """A new private file, durable before anybody relies on it; never over an old one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    _sync([path.parent])


def make_dkim(folder: Path, domain: str, selector: str, kind: Kind) -> DkimKey:
    """A new DKIM key below `folder`. Raises NoDkimKey for a bad name, FileExistsError."""
    key = generate(domain, selector, kind)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder / key.file, key.pem())
    return key


def move(file: Path, folder: Path) -> None:
    """Put a key's file into another directory, durably; what is there already is not replaced."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / file.name
    target.hardlink_to(file)
    _sync([folder])
    file.unlink()
    _sync([file.parent])


def _replace(path: Path, content: bytes) -> Path:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.chmod(0o644)
    new.replace(path)
    _sync([path.parent])
    return path


def _sync(directories: Iterable[Path]) -> None:
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
