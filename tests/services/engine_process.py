"""A worker as a process of its own, for tests that send signals: `python engine_process.py URL FOLDER SECONDS`.

Writes `FOLDER/started-<job>` when a job begins, `FOLDER/ended-<job>` when it has ended after SECONDS.
"""

import asyncio
import sys
from pathlib import Path

import dramatiq

from preklic_shared.broker import PreklicBroker
from preklic_workers.engine import Engine
from preklic_workers.outcomes import Done


def main(url: str, folder: Path, seconds: float) -> None:
    async def slow(opened):
        (folder / f"started-{opened.job.id}").touch()
        await asyncio.sleep(seconds)
        (folder / f"ended-{opened.job.id}").touch()
        return Done()

    broker = PreklicBroker(url)
    dramatiq.actor(slow, broker=broker, actor_name="track", queue_name="track")
    asyncio.run(Engine(broker, url, ["track"], deadline=10).run())
    broker.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
