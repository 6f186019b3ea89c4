"""`preklic worker track` whose jobs last so many seconds: `python slow_worker.py SECONDS FOLDER`.

Writes `FOLDER/started-<job>` when a job begins, and `ended-<job>` when it has ended.
"""

import asyncio
import sys
from pathlib import Path

from preklic_shared import cli
from preklic_workers import duties
from preklic_workers.outcomes import Done

SECONDS, FOLDER = float(sys.argv[1]), Path(sys.argv[2])


async def slow(opened):
    (FOLDER / f"started-{opened.job.id}").touch()
    await asyncio.sleep(SECONDS)
    (FOLDER / f"ended-{opened.job.id}").touch()
    return Done()


duties.DUTIES["track"] = lambda _: duties.Duty({"track": slow})

if __name__ == "__main__":
    sys.exit(cli.run(["worker", "track"]))
