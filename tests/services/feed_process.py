"""The feed as a process of its own, which dies between publishing and keeping its place: `python feed_process.py`.

Takes the settings from the environment. With an argument it dies; without one it goes on until it is stopped.
"""

import asyncio
import os
import signal
import sys

from preklic_shared.settings import load_settings
from preklic_workers.looking import KEYLESS
from preklic_workers.store import open_store
from preklic_workers.webhooks.feed import Feed


async def main(*, dies: bool) -> None:
    settings = load_settings(os.environ)
    store = await open_store(settings, KEYLESS)
    feed = Feed(store, settings.webhooks_out, settings.amqp_url)
    tell = feed.tell

    async def die(changes):
        if await tell(changes):
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    if dies:
        feed.tell = die
    while True:
        await feed.once()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(dies=len(sys.argv) > 1))
