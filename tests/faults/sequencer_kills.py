"""Sequencers as real processes, killed -9 at random moments of their work, one or two of them at a time."""

import asyncio
import multiprocessing
import os
import random
import signal
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess

from ledgering import sequencer_of
from preklic_workers.envelope import EpochKeys, Epochs
from preklic_workers.store import Act, Store
from storing import RING, claimed, open_test_store

LONGEST = 0.25  # seconds of one life: some end before they have opened the store, some after many rounds
AT_ONCE = 20
MAILS = 5
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["faults.sequencer_kills"])


def live(url: str, database: str, keys: EpochKeys) -> None:
    """As the role does, but without a pause, and with a head signed after every round."""

    async def work() -> None:
        ring = replace(RING, epochs=Epochs(keys))
        sequencer = sequencer_of(await open_test_store(url, database, validators=False, ring=ring))
        while True:
            await sequencer.once()
            await sequencer.checkpoint()

    asyncio.run(work())


@dataclass
class Killing:
    """What was done: so many acts and mails were written, and so many sequencers killed."""

    store: Store
    url: str
    database: str
    persons: list[str]
    chance: random.Random = field(default_factory=random.Random)
    written: int = 0
    killed: int = 0
    going: bool = True

    async def run(self, kills: int) -> None:
        """Write without a pause and kill so many."""
        writing = asyncio.create_task(self._write())
        try:
            await self._kill(kills)
        finally:
            self.going = False
            await writing

    async def _write(self) -> None:
        while self.going:
            several = [
                Act("looked", "mojca", f"case {n}", person=self.chance.choice([None, *self.persons]))
                for n in range(AT_ONCE)
            ]
            mails = [await claimed(self.store, self.chance.choice(self.persons)) for _ in range(MAILS)]
            settled = (self.store.messages.settle(mail, 1, "sent", relay="main") for mail in mails)
            await asyncio.gather(*map(self.store.acts.record, several), *settled)
            self.written += len(several) + MAILS

    async def _kill(self, kills: int) -> None:
        alive = []
        try:
            while self.killed < kills:
                process = _FORKING.Process(target=live, args=(self.url, self.database, RING.epochs.keys), daemon=True)
                await asyncio.to_thread(process.start)
                alive.append(process)
                await asyncio.sleep(self.chance.uniform(0, LONGEST))
                if len(alive) == 2 or self.chance.random() < 0.5:
                    self._end(alive.pop(self.chance.randrange(len(alive))))
                    self.killed += 1
        finally:
            for process in alive:
                self._end(process)

    @staticmethod
    def _end(process: BaseProcess) -> None:
        assert process.is_alive(), process.exitcode  # it ends by our hand alone
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
