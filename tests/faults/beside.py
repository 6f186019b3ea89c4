"""Work that goes on in a thread while something else is done to the system."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `work` until the block ends, when the event that it was given is set; pass on what went wrong there."""
    over, failed = threading.Event(), list[Exception]()

    def working() -> None:
        try:
            work(over)
        except Exception as error:  # noqa: BLE001 - passed on below, on the caller's thread
            failed.append(error)

    thread = threading.Thread(target=working)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]
