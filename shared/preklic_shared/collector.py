"""Python's garbage collector in a process that runs for weeks, or makes millions of small things."""

import gc


def spare_the_collector() -> None:
    """What was made until now lives as long as the process: the collector need not walk it again and again.

    Jobs and requests make few cycles, so it may also come less often. Both together were a tenth of a worker's CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
