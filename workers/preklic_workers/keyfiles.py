"""Making and turning keys: one directory for each role below a root, and the signed file of public keys for producers.

The root is made once, on a safe host; each role's directory is then copied to where the role runs, and nowhere else.
Every step writes whole files that were not there before, so one that is killed half-way is simply run again.
"""

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared.sealing import sign_public_file
from preklic_workers.dkim_keys import DkimKey, Kind, generate
from preklic_workers.durable import replace, sync, write_new
from preklic_workers.envelope import EPOCH_GROUPS, HOLD, KEY_BYTES
from preklic_workers.keydir import ROLES, KeyDirError, KeyFile, check
from preklic_workers.moments import millis

PUBLIC: Final = "producers"
PUBLIC_FILE: Final = "sealing.json"
PIN_FILE: Final = "root.pub"
LEDGER_FILE: Final = "ledger.pub"
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
    for group in EPOCH_GROUPS:
        _share(root, _holders(group), f"{group}.1.epoch")
    _share(root, [role for role, needs in ROLES.items() if needs.root], "root.ed25519")
    turn_sealing(root, now)


def turn_sealing(root: Path, now: dt.datetime) -> None:
    """A new sealing key for each role that opens jobs, and a new signed file; older private keys stay for 30 days."""
    _complete(root)
    made = now.strftime("%Y%m%d-%H%M%S")
    for role in _sealed_roles():
        write_new(root / role / f"{role}-{made}.x25519", X25519PrivateKey.generate().private_bytes_raw())
    publish(root, now)


def _complete(root: Path) -> None:
    """Give each role what it lacks, as one of an older version may: its directory, epoch keys, the ledger's own key."""
    for role in ROLES:
        (root / role).mkdir(mode=0o700, exist_ok=True)
    if not any((root / "upkeep").glob(f"{HOLD}.*.epoch")):
        _share(root, _holders(HOLD), f"{HOLD}.1.epoch")
    for group in EPOCH_GROUPS:
        lacking = [role for role in _holders(group) if not any((root / role).glob(f"{group}.*.epoch"))]
        for role in lacking:
            for file in (root / "upkeep").glob(f"{group}.*.epoch"):
                write_new(root / role / file.name, file.read_bytes())
    signing = [role for role, needs in ROLES.items() if needs.ledger]
    if not any((root / role / "ledger.ed25519").exists() for role in signing):
        _share(root, signing, "ledger.ed25519")


def publish(root: Path, now: dt.datetime) -> Path:
    """Sign the newest public sealing keys for producers; the path of that file. Raises KeyDirError.

    The ledger's public key stands beside it.
    """
    public = {}
    for role in _sealed_roles():
        newest = max((file for file in check(root / role, role) if file.sealing), key=lambda file: file.path.name)
        private = X25519PrivateKey.from_private_bytes(newest.path.read_bytes())
        public[role] = (str(newest.sealing), private.public_key().public_bytes_raw())
    signer = Ed25519PrivateKey.from_private_bytes((root / "upkeep" / "root.ed25519").read_bytes())
    signed = sign_public_file(public, signer, issued=millis(now), expires=millis(now + VALID))
    (root / PUBLIC).mkdir(mode=0o755, exist_ok=True)
    replace(root / PUBLIC / PIN_FILE, signer.public_key().public_bytes_raw().hex().encode(), 0o644)
    _complete(root)
    ledger = Ed25519PrivateKey.from_private_bytes((root / "ledger" / "ledger.ed25519").read_bytes())
    replace(root / PUBLIC / LEDGER_FILE, ledger.public_key().public_bytes_raw().hex().encode(), 0o644)
    return replace(root / PUBLIC / PUBLIC_FILE, signed, 0o644)


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
    for group in EPOCH_GROUPS:
        newest = {role: max(held) for role, held in epochs_of(root, group).items()}
        numbers[group] = max(newest.values()) + (1 if finished(newest) else 0)
    reach(root, numbers)
    return numbers


def reach(root: Path, numbers: Mapping[str, int]) -> None:
    """Let every role have these epoch keys (group -> number): made where nobody has one, else the same everywhere."""
    for group, number in numbers.items():
        held = epochs_of(root, group)
        there = [role for role in held if number in held[role]]
        name = f"{group}.{number}.epoch"
        key = (root / there[0] / name).read_bytes() if there else secrets.token_bytes(KEY_BYTES)
        for role in held:
            if role not in there:
                write_new(root / role / name, key)


def finished(newest: Mapping[str, int]) -> bool:
    """Whether the last turn reached every role: `newest` is the newest epoch that each role has."""
    return min(newest.values()) == max(newest.values())


def drop_epoch(root: Path, group: str, number: int) -> None:
    """Destroy an epoch key of a group on this host: what is still wrapped under it is gone. Raises KeyDirError."""
    held = epochs_of(root, group)
    for role, numbers in held.items():
        if max(numbers) <= number:
            raise KeyDirError(
                root / role, f"has no newer epoch of {group}", "turn the epoch first: preklic keys epoch turn"
            )
    for role in held:
        (root / role / f"{group}.{number}.epoch").unlink(missing_ok=True)
    sync(root / role for role in held)


def epochs_of(root: Path, group: str) -> dict[str, set[int]]:
    """The epochs of a group that each role below `root` has a key of. Raises KeyDirError."""
    files = {role: check(root / role, role) for role in _holders(group)}
    return {role: {file.epoch for file in found if file.group == group} for role, found in files.items()}


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


def _kind(file: KeyFile) -> str:
    kinds = {"sealing": file.sealing, "epoch": file.group, "blind": file.blind, "root": file.root, "dkim": file.dkim}
    kinds["ledger"] = file.ledger
    return next((kind for kind, value in kinds.items() if value), "token")


def _age(path: Path, now: dt.datetime) -> dt.timedelta:
    return now - dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)


def _share(root: Path, roles: Sequence[str], name: str) -> None:
    key = secrets.token_bytes(KEY_BYTES)
    for role in roles:
        write_new(root / role / name, key)


def make_dkim(folder: Path, domain: str, selector: str, kind: Kind) -> DkimKey:
    """A new DKIM key below `folder`. Raises NoDkimKey for a bad name, FileExistsError."""
    key = generate(domain, selector, kind)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_new(folder / key.file, key.pem())
    return key


def move(file: Path, folder: Path) -> None:
    """Put a key's file into another directory, durably; what is there already is not replaced."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / file.name
    target.hardlink_to(file)
    sync([folder])
    file.unlink()
    sync([file.parent])


def is_root(place: Path) -> bool:
    """Whether all roles' directories are below `place`: keys turn there and nowhere else."""
    return all((place / role).is_dir() for role, needs in ROLES.items() if needs.groups)


def targets(root: Path) -> dict[str, int]:
    """The epochs that a turn is to reach, by group: the newest where one is half-way already, else the next."""
    numbers = {}
    for group in EPOCH_GROUPS:
        held = epochs_of(root, group)
        newest = {role: max(there) for role, there in held.items()}
        turning = not finished(newest) or any(len(there) > 1 for there in held.values())
        numbers[group] = max(newest.values()) + (0 if turning else 1)
    return numbers


def epoch_age(root: Path, now: dt.datetime) -> dt.timedelta:
    """The age of the oldest current epoch key: the longest that an erased person's key may still open."""
    newest = [root / "upkeep" / f"{group}.{max(epochs_of(root, group)['upkeep'])}.epoch" for group in EPOCH_GROUPS]
    return max(_age(path, now) for path in newest)
