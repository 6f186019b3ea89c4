"""Keys: whether each directory here is whole and private, and how long what is signed holds."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from preklic_shared.sealing import Sealer
from preklic_workers import keyfiles
from preklic_workers.doctor.finding import Finding, Patient, Seen, Unseen
from preklic_workers.keydir import ROLES, KeyDirError, check

LATE_DAYS: Final = 33
_LEAST: Final = dt.timedelta(days=1)
_UNKEYED: Final = "a role without its keys does not start"


def directories(patient: Patient) -> Iterator[Seen]:
    """The key directory of every role that is here: its files, their content and modes."""
    root = patient.config.key_dir
    if root is None:
        mend = "name the root of the roles' key directories (preklic keys init)"
        yield Finding("PREKLIC_KEY_DIR is not set", _UNKEYED, mend)
        return
    held = {role: root / role for role in ROLES if (root / role).is_dir()}
    if root.name in ROLES:
        held[root.name] = root
    if not held:
        yield Finding(f"{root} holds no role's directory", _UNKEYED, "preklic keys init")
    for role, directory in held.items():
        try:
            check(directory, role)
        except KeyDirError as error:
            yield Finding(str(error), f"the role {role} does not start", error.mend)


def sealing(patient: Patient) -> Iterator[Seen]:
    """The signed file of public keys that producers seal with. Raises SealingError."""
    config = patient.config
    if config.sealing_keys is None:
        why = "producers need it to publish, and campaigns to fan out"
        yield Finding("PREKLIC_SEALING_KEYS is not set", why, "name the file that `preklic keys publish` writes")
        return
    pin = None if config.sealing_pin is None else bytes.fromhex(config.sealing_pin)
    until = dt.datetime.fromtimestamp(Sealer.load(config.sealing_keys, pin).expires / 1000, dt.UTC)
    if (left := until - dt.datetime.now(dt.UTC)) < _LEAST:
        hours = max(left.total_seconds(), 0) / 3600
        mend = "preklic keys publish, and copy the file to the producers"
        yield Finding(f"the sealing keys expire in {hours:.0f} h", "then producers refuse to publish", mend)
    if pin is None:
        yield Finding(
            "PREKLIC_SEALING_PIN is not set",
            "a file by another signer would be believed, and its owner read what is sealed",
            "pin the signer: the line that `preklic keys publish` prints",
        )


def epochs(patient: Patient) -> Iterator[Seen]:
    """The age of the epoch keys, where the root of all keys is."""
    root = patient.config.key_dir
    if root is None or not keyfiles.is_root(root):
        yield Unseen("the age of the epoch keys: the root of all keys is not here", "ask where it is kept")
        return
    days = keyfiles.epoch_age(root, dt.datetime.now(dt.UTC)) / dt.timedelta(days=1)
    if days > LATE_DAYS:
        why = "erasure is final within 35 days only if they turn"
        yield Finding(f"the epoch keys are {days:.0f} days old", why, "preklic keys epoch turn")
