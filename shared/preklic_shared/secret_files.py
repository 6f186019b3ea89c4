"""Settings that are secrets, read from files: `PREKLIC_AMQP_URL_FILE` names the file that holds `PREKLIC_AMQP_URL`.

So orchestrators hand them over (systemd's credentials, Compose's and Kubernetes' secrets), and no process list, no
log of a deployment and no `docker inspect` shows them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SECRETS: Final = ("AMQP_URL", "MANAGEMENT_URL", "MONGO_URL", "GATEWAY_TOKEN", "OPERATOR_TOKEN")
# One person's own: what an orchestrator mounts for a service may be readable, this may not.
_PRIVATE: Final = frozenset({"OPERATOR_TOKEN"})
_LIMIT: Final = 4096  # bytes; a URL of several hosts with its options is far shorter


class SecretFileError(ValueError):
    """A secret's file cannot be used; `name` is the setting's name without its prefix."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(hint)
        self.name = name


def with_secrets(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    """`environ` with what its `<prefix><secret>_FILE` name in place of them. Raises SecretFileError."""
    read = dict(environ)
    for secret in SECRETS:
        path = read.pop(f"{prefix}{secret}_FILE", None)
        if path is None:
            continue
        if f"{prefix}{secret}" in read:
            raise SecretFileError(f"{secret}_FILE", f"{prefix}{secret} is set, too; leave one of them out")
        read[f"{prefix}{secret}"] = _secret(secret, Path(path))
    return read


def _secret(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            if name in _PRIVATE:
                _check_private(name, path, os.fstat(file.fileno()))
            text = file.read(_LIMIT + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileError(f"{name}_FILE", f"cannot read {path} ({type(error).__name__})") from None
    if not text or len(text) > _LIMIT or len(text.splitlines()) > 1:
        raise SecretFileError(f"{name}_FILE", f"{path} must hold one line of at most {_LIMIT} bytes")
    return text


def _check_private(name: str, path: Path, found: os.stat_result) -> None:
    """Refuse what others could read or have made (attack 61), as with key files."""
    if found.st_mode & 0o077:
        raise SecretFileError(f"{name}_FILE", f"{path} can be read by others: chmod 600 it, and have a new token made")
    if found.st_uid not in (os.geteuid(), 0):
        raise SecretFileError(f"{name}_FILE", f"{path} belongs to another user")
