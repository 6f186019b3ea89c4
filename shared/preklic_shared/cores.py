"""A process of ours leaves no image of its memory behind: what it holds in the clear dies with it (promise P1)."""

import ctypes
import resource
import sys
from typing import Final

# prctl(2). A process that is not dumpable leaves no core, also not to a program that the kernel pipes cores to, and
# its /proc files are root's alone.
_PR_SET_DUMPABLE: Final = 4


def leave_no_core() -> None:
    """No core file when this process crashes. Processes that it starts keep the limit of size 0.

    Raises OSError when the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
