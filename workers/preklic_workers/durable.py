"""Files that must be there after a power cut: whole and private before they bear their name, never half of one."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Locked(Exception):
    """Another process is at it."""


def write_new(path: Path, content: bytes) -> None:
    """A new private file; FileExistsError over an old one. A reader of the directory sees all of it or nothing."""
    new = _prepared(path, content, 0o600)
    try:
        path.hardlink_to(new)
    finally:
        new.unlink()
    sync([path.parent])


def replace(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """The file with this content, whatever was there before; its path."""
    _prepared(path, content, mode).replace(path)
    sync([path.parent])
    return path


def append(path: Path, content: bytes) -> None:
    """Add to a private file, which is made when it is not there."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync([path.parent])


def sync(directories: Iterable[Path]) -> None:
    """Make the names in these directories durable."""
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all processes of this host until the end. Raises Locked."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"{path.name}: another process is at it") from None
        yield
    finally:
        os.close(descriptor)


def _prepared(path: Path, content: bytes, mode: int) -> Path:
    new = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(mode)  # whatever the umask, and whatever an earlier run left
    return new
