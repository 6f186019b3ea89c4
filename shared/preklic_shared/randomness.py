"""Random octets of the system, many drawn at once.

Each call to the system lets go of the interpreter's lock, and another thread that waits for it may keep it for
milliseconds (`sys.getswitchinterval`): where every row of a list needs five, that was a quarter of its time.
"""

import os
from io import BytesIO
from typing import Final

_DRAWN: Final = 32_768


class _Drawn:
    """What was drawn and is not given yet. `read` takes and moves on in one step, whatever thread or signal comes."""

    def __init__(self) -> None:
        self.left = BytesIO()

    def forget(self) -> None:
        """A forked process must not give what its parent gives."""
        self.left = BytesIO()

    def take(self, count: int) -> bytes:
        taken = self.left.read(count)
        while len(taken) < count:
            left = BytesIO(os.urandom(max(_DRAWN, count)))
            taken = left.read(count)
            self.left = left
        return taken


_drawn: Final = _Drawn()
os.register_at_fork(after_in_child=_drawn.forget)


def random_octets(count: int) -> bytes:
    """So many octets for a key, a nonce or a salt; each is given once, in this process and in what is forked off it."""
    return _drawn.take(count)
