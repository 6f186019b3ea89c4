"""The key directory of a role: what may stand in it, and that nobody else can read it.

One file for each key, 32 raw bytes, mode 600, in a directory of mode 700:
`<id>.x25519` sealing, `<group>.<epoch>.epoch`, `lookup.hmac`, `suppress.hmac`, `<id>.token`, `root.ed25519`,
`ledger.ed25519`.
DKIM keys are PEM files: `<selector>._domainkey.<domain>.pem` (see `dkim_keys`).
A role holds what it needs and nothing else: the mail worker's ring cannot open `court`.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from preklic_shared import telemetry
from preklic_shared.sealing import Opener
from preklic_shared.token_keys import load_token_keys
from preklic_workers import dkim_keys
from preklic_workers.blind import Blind
from preklic_workers.envelope import EPOCH_GROUPS, GROUPS, KEY_BYTES, Epochs
from preklic_workers.keyring import KeyRing

log = telemetry.logger(__name__)

# Shown in examples and documentation; it must never hold anything.
SAMPLE: Final = hashlib.sha256(b"preklic sample key").digest()
_NAME: Final = re.compile(
    r"(?P<sealing>[a-z0-9-]{1,64})\.x25519|(?P<group>[a-z]+)\.(?P<epoch>[1-9][0-9]{0,8})\.epoch"
    r"|(?P<blind>lookup|suppress)\.hmac|(?P<token>[0-9]{1,3})\.token|(?P<root>root)\.ed25519|(?P<ledger>ledger)\.ed25519"
)


class KeyDirError(Exception):
    """A key directory cannot be used; the message names the file and how to mend it."""

    def __init__(self, path: Path, problem: str, mend: str) -> None:
        super().__init__(f"{path}: {problem}; {mend}")
        self.path = path
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Needs:
    """What one role holds."""

    sealing: bool = False
    groups: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    tokens: bool = False
    root: bool = False
    dkim: bool = False
    ledger: bool = False


ROLES: Final[Mapping[str, Needs]] = {
    "send": Needs(sealing=True, groups=("contact", "profile"), blind=("lookup", "suppress"), tokens=True, dkim=True),
    "track": Needs(),
    "revoke": Needs(sealing=True, blind=("lookup", "suppress")),
    "record": Needs(sealing=True, groups=GROUPS, blind=("lookup", "suppress")),
    "answer": Needs(sealing=True, blind=("lookup",)),
    "upkeep": Needs(groups=EPOCH_GROUPS, blind=("lookup", "suppress"), root=True),
    "gateway": Needs(tokens=True),
    "feedback": Needs(tokens=True),
    "campaign": Needs(sealing=True, groups=("profile",)),
    "webhook": Needs(),
    "ledger": Needs(groups=("evidence",), ledger=True),
}


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key's file, by what its name says."""

    path: Path
    sealing: str | None
    group: str | None
    epoch: int
    blind: str | None
    token: int | None
    root: bool
    dkim: bool
    ledger: bool = False


def load_ring(directory: Path, role: str) -> KeyRing:
    """The keys of `role`, all checked. Raises KeyDirError."""
    files = check(directory, role)
    blind = {file.blind: file.path.read_bytes() for file in files if file.blind is not None}
    return KeyRing(
        role=role,
        blind=Blind(suppress=blind.get("suppress", b""), lookup=blind.get("lookup", b"")),
        epochs=Epochs(_epochs(files), partial(read_again, directory, role)),
        tokens=load_token_keys(directory) if ROLES[role].tokens else None,
        opener=Opener.load(directory),
        dkim=tuple(dkim_keys.read(file.path) for file in files if file.dkim),
        ledger=next((Ed25519PrivateKey.from_private_bytes(f.path.read_bytes()) for f in files if f.ledger), None),
    )


def read_again(directory: Path, role: str) -> dict[str, dict[int, bytes]] | None:
    """The epoch keys that the directory holds now; None, and a line in the log, when it is not as it must be."""
    try:
        return _epochs(check(directory, role))
    except (KeyDirError, OSError) as error:
        log.warning("key directory not read again", role=role, error=type(error).__name__)
        return None


def check(directory: Path, role: str) -> list[KeyFile]:
    """The role's files, each checked: mode, size, content, and that the role needs it. Raises KeyDirError."""
    if not directory.is_dir():
        raise KeyDirError(directory, "is no directory", "make it with: preklic keys init")
    check_private(directory, 0o700)
    files = [_read_name(path) for path in sorted(directory.iterdir()) if not path.name.startswith(".")]
    for file in files:
        check_private(file.path, 0o600)
        check_dkim(file.path) if file.dkim else check_content(file.path)
        check_needed(file, role)
    _check_complete(directory, role, files)
    return files


def check_private(path: Path, mode: int) -> None:
    """Refuse what others could read or change (attack 61)."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise KeyDirError(path, "is a symbolic link", "put the key itself there")
    if found.st_uid not in (os.geteuid(), 0):
        raise KeyDirError(path, "belongs to another user", "chown it to the user of this service")
    if found.st_mode & 0o077:
        raise KeyDirError(path, "can be read by others", f"chmod {mode:o} it, and turn the key if others could log in")


def check_content(path: Path) -> None:
    """Refuse a key of the wrong size, of zeros or another repetition, and the one of the examples."""
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise KeyDirError(path, f"has {len(key)} bytes, not {KEY_BYTES}", "restore it from its backup")
    if len(set(key)) < 8 or key == bytes(range(KEY_BYTES)):
        raise KeyDirError(path, "is no random key", "make one with: preklic keys init")
    if key == SAMPLE:
        raise KeyDirError(path, "is the sample key that everybody knows", "make one with: preklic keys init")


def check_dkim(path: Path) -> None:
    """Refuse what cannot sign, and what receivers would not believe."""
    try:
        dkim_keys.read(path)
    except dkim_keys.NoDkimKey as error:
        raise KeyDirError(path, str(error), "make one with: preklic keys dkim make") from None


def check_needed(file: KeyFile, role: str) -> None:
    """Refuse a key that this role has no business with."""
    needs = ROLES[role]
    allowed = (
        (file.sealing is not None and needs.sealing)
        or (file.group in needs.groups)
        or (file.blind in needs.blind)
        or (file.token is not None and needs.tokens)
        or (file.root and needs.root)
        or (file.dkim and needs.dkim)
        or (file.ledger and needs.ledger)
    )
    if not allowed:
        raise KeyDirError(file.path, f"is not for the role {role}", "remove it from this directory")


def _epochs(files: Iterable[KeyFile]) -> dict[str, dict[int, bytes]]:
    epochs: dict[str, dict[int, bytes]] = {}
    for file in files:
        if file.group is not None:
            epochs.setdefault(file.group, {})[file.epoch] = file.path.read_bytes()
    return epochs


def _check_complete(directory: Path, role: str, files: list[KeyFile]) -> None:
    needs = ROLES[role]
    missing = [f"{group}.1.epoch" for group in needs.groups if group not in {file.group for file in files}]
    missing += [f"{name}.hmac" for name in needs.blind if name not in {file.blind for file in files}]
    missing += ["*.x25519"] if needs.sealing and not any(file.sealing for file in files) else []
    missing += ["*.token"] if needs.tokens and not any(file.token is not None for file in files) else []
    missing += ["ledger.ed25519"] if needs.ledger and not any(file.ledger for file in files) else []
    missing += ["root.ed25519"] if needs.root and not any(file.root for file in files) else []
    if missing:
        raise KeyDirError(directory / missing[0], "is missing", "restore it from its backup, or: preklic keys init")


def _read_name(path: Path) -> KeyFile:
    if dkim_keys.NAME.fullmatch(path.name):
        return KeyFile(path, sealing=None, group=None, epoch=0, blind=None, token=None, root=False, dkim=True)
    match = _NAME.fullmatch(path.name)
    if match is None or (match["group"] is not None and match["group"] not in EPOCH_GROUPS):
        raise KeyDirError(path, "is no key file", "remove it from the key directory")
    return KeyFile(
        path,
        sealing=match["sealing"],
        group=match["group"],
        epoch=int(match["epoch"] or 0),
        blind=match["blind"],
        token=int(match["token"]) if match["token"] is not None else None,
        root=match["root"] is not None,
        dkim=False,
        ledger=match["ledger"] is not None,
    )
