"""Files for one reader: mode 600 from their first moment, never over an old one, durable, and gone if writing fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from preklic_workers.durable import sync


class NotWritten(Exception):
    """A private file cannot be made: it is there already, or its directory does not take it."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be made ({type(error).__name__})")


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file, taken before anything is done that it shall hold. Raises NotWritten before that."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise NotWritten(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync([path.parent])
