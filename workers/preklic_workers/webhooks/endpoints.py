"""An endpoint at work: its secrets, as its file has them now, and how many requests it may have under way."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from preklic_shared import telemetry
from preklic_shared.settings import SettingsError
from preklic_shared.webhooks_out import WebhookOut
from preklic_workers.keydir import KeyDirError, check_private
from preklic_workers.webhooks.signing import BadSecret, key_of

MOST_SECRETS: Final = 8
# One that takes its ten seconds for each leaves most of a worker's places to the others.
AT_ONCE: Final = 16
_FIRST_GUESS: Final = 1.0  # seconds that a request takes

log = telemetry.logger(__name__)


class Secrets:
    """The keys of one endpoint, the newest first; read again when the file changes, so a turn needs no restart."""

    def __init__(self, endpoint: str, path: Path) -> None:
        self._endpoint = endpoint
        self._path = path
        self._seen = 0
        self._keys = self._read()

    def keys(self) -> tuple[bytes, ...]:
        """The keys to sign with. A file that is no good any more leaves those that were."""
        try:
            if self._path.stat().st_mtime_ns != self._seen:
                self._keys = self._read()
        except (OSError, SettingsError, KeyDirError) as error:
            log.warning("webhooks: the secrets cannot be read again", topic=self._endpoint, error=type(error).__name__)
        return self._keys

    def _read(self) -> tuple[bytes, ...]:
        self._seen = self._path.stat().st_mtime_ns if self._path.exists() else 0
        return tuple(key_of(secret) for secret in secrets_in(self._path, self._endpoint))


def secrets_in(path: Path, endpoint: str) -> list[str]:
    """The secrets of an endpoint, the newest first. Raises SettingsError, and KeyDirError if others can read them."""
    hint = f"the secret_file of {endpoint} {{}}: preklic webhooks secret {endpoint} makes one"
    try:
        check_private(path, 0o600)
        found = path.read_text(encoding="ascii").split()
        for secret in found:
            key_of(secret)
    except OSError as error:
        raise SettingsError("WEBHOOKS_OUT", hint.format(f"cannot be read ({type(error).__name__})")) from None
    except (BadSecret, UnicodeDecodeError):
        raise SettingsError("WEBHOOKS_OUT", hint.format("holds a line that is no secret")) from None
    if not 0 < len(found) <= MOST_SECRETS:
        raise SettingsError("WEBHOOKS_OUT", hint.format(f"must hold 1 to {MOST_SECRETS} secrets"))
    return found


class Endpoint:
    """One endpoint: where, with which secrets, and how much of it at a time."""

    def __init__(self, out: WebhookOut, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = out.name
        self.url = out.url
        self.secrets = Secrets(out.name, out.secret_file)
        self._clock = clock
        self._under_way = 0
        self._behind = 0
        self._takes = _FIRST_GUESS

    def full(self) -> bool:
        """Whether it has as many requests under way as it may have."""
        return self._under_way >= AT_ONCE

    def turn_away(self) -> float:
        """Seconds after which one that finds it full should come again: about when its turn will be."""
        self._behind += 1
        return self._behind / AT_ONCE * self._takes

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of its places, for one request."""
        self._under_way += 1
        began = self._clock()
        try:
            yield
        finally:
            self._under_way -= 1
            self._behind = max(0, self._behind - 1)
            self._takes += (self._clock() - began - self._takes) / AT_ONCE
