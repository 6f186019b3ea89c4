"""Our engine with a handler that does nothing: `python -m bench.noop_worker URL FOLDER CONCURRENCY`."""

import sys

import dramatiq
import uvloop

from bench.peers.progress import Progress
from preklic_shared.broker import PreklicBroker
from preklic_workers.engine import Engine
from preklic_workers.outcomes import Done, Outcome
from preklic_workers.runtime import Opened


async def main(url: str, folder: str, concurrency: int) -> None:
    broker = PreklicBroker(url)
    progress = Progress(folder)

    async def nothing(_opened: Opened) -> Outcome:
        progress.tick()
        return Done()

    dramatiq.actor(nothing, broker=broker, actor_name="track", queue_name="track")
    await Engine(broker, url, ["track"], concurrency=concurrency).run()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
