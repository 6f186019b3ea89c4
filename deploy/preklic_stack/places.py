"""Where servers keep data that is thrown away."""

import os
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
ENOUGH = 4 * 2**30


def quick_folder() -> Path | None:
    """A folder in memory when there is room for test data, or None: the usual place for temporary files.

    A server's fsync costs nothing there. Nothing is proven by the difference: tests kill processes, not machines.
    """
    try:
        roomy = shutil.disk_usage(SHARED_MEMORY).free >= ENOUGH
    except OSError:
        return None
    return SHARED_MEMORY if roomy and os.access(SHARED_MEMORY, os.W_OK) else None
