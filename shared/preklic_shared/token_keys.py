"""The files of the token keys: `<id>.token`, 32 random bytes, in the key directory of a role that mints or checks.

The highest id mints; all of them verify. A rotation adds a file everywhere before the first host mints with it, and
takes none away for two years: links in old mails must go on stopping mail.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from preklic_shared.settings import SettingsError
from preklic_shared.tokens import KEY_BYTES, MAX_KEY_ID, TokenKeys

SUFFIX: Final = ".token"


def load_token_keys(directory: Path) -> TokenKeys:
    """The keys of `directory`. SettingsError when there is none, or one is readable by others, zero or misshapen."""
    keys = {_number(file): _read(file) for file in sorted(directory.glob(f"*{SUFFIX}"))}
    if not keys:
        raise SettingsError("KEY_DIR", f"{directory} holds no token keys: run `preklic keys init`")
    return TokenKeys(keys, max(keys))


def write_token_key(directory: Path, number: int, key: bytes | None = None) -> Path:
    """Write a key (a fresh one by default) as `<number>.token`, readable by its owner alone; never overwrites."""
    path = directory / f"{number}{SUFFIX}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES) if key is None else key)
        file.flush()
        os.fsync(file.fileno())
    return path


def _number(file: Path) -> int:
    if not file.stem.isascii() or not file.stem.isdigit() or int(file.stem) > MAX_KEY_ID:
        raise SettingsError("KEY_DIR", f"{file} is not named by a key id of 0 to {MAX_KEY_ID}")
    return int(file.stem)


def _read(file: Path) -> bytes:
    key = file.read_bytes()
    check_key(file, key)
    return key


def check_key(file: Path, key: bytes) -> None:
    """Refuse a key that others could read, or that is none. Raises SettingsError."""
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise SettingsError("KEY_DIR", f"{file} can be read by others: chmod 600")
    if len(key) != KEY_BYTES or not any(key):
        raise SettingsError("KEY_DIR", f"{file} is not {KEY_BYTES} random bytes")
