"""Sequencers killed -9 at random while acts and mails are written: no gap, no fork, no leaf lost, none twice.

`SEQUENCER_KILLS` is how many are killed, a few if it is not said.
"""

import os
import random

import pytest

from faults.sequencer_kills import Killing
from ledgering import audited, sequencer_of
from preklic_workers.ledger.verify import read_canonical
from storing import grant, open_test_store, subject

KILLS = int(os.environ.get("SEQUENCER_KILLS", "4"))


@pytest.mark.timeout(60 + 2 * KILLS)
@pytest.mark.attack(64)
async def test_sequencers_killed_at_random_leave_no_gap_no_fork_and_nothing_twice(
    mongo_url, mongo_database, record_property
):
    store = await open_test_store(mongo_url, mongo_database)
    for name in ("ana", "boris"):
        await grant(store, f"{name}@primer.example")
    persons = [subject(f"{name}@primer.example") for name in ("ana", "boris")]
    seed = random.randrange(10**9)
    killing = Killing(store, mongo_url, mongo_database, persons, random.Random(seed))
    await killing.run(KILLS)
    last = sequencer_of(store)
    await last.once()
    await last.checkpoint()
    runs = [run async for run in store.ledger.runs()]
    ids = [read_canonical(leaf, "it")["id"] for run in runs for leaf in run.leaves]
    told = f"seed {seed}: {killing.killed} killed, {killing.written} records in {len(runs)} runs"
    assert len(ids) == len(set(ids)) == killing.written + len(persons), told
    assert await store.ledger.entries.riding() == []
    assert (await audited(store)).size == len(ids), told
    opened = [await store.ledger.opened(run, range(run.start, run.end)) for run in runs]
    assert all(opening is not None for found in opened for opening in found.values()), told
    store.close()
    record_property("told", told)
