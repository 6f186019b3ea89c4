"""A witness that signs the ledger's heads, too: it signs no second history, and nobody signs in its name."""

import pytest
from pymongo import DeleteMany

from ledgering import KEYS, NAME, sequencer_of
from preklic_shared import metrics
from preklic_shared.stamp_settings import Cosigner
from preklic_workers import cosigned
from preklic_workers.cosigned import Submitter, cosigner_key, last_cosigned
from preklic_workers.exchange import Unanswered
from preklic_workers.ledger.verify import Altered, read_checkpoint
from preklic_workers.ledger_audit import Beside, audit_all
from preklic_workers.store import Act
from witnessing import SigningWitness, witness_of


@pytest.fixture
def witness():
    with witness_of(KEYS) as made:
        yield made


@pytest.fixture
async def grown(emptied_store):
    """A ledger, and `grown(count)` that puts so many leaves on and signs the head."""
    sequencer = sequencer_of(emptied_store)

    async def more(count: int) -> int:
        for _ in range(count):
            await emptied_store.acts.record(Act("looked", "mojca", "case 3"))
        await sequencer.once()
        return await sequencer.checkpoint()

    more.store = emptied_store
    return more


def settings_of(witness) -> Cosigner:
    return Cosigner(url=witness.url, key=witness.vkey)


def submitter_of(grown, witness) -> Submitter:
    return Submitter(grown.store.ledger.stamps, settings_of(witness), cosigner_key(settings_of(witness)))


def behind() -> float:
    return metrics.COSIGNER_BEHIND._value.get()


async def compared(grown, witness):
    note = await last_cosigned(settings_of(witness), NAME)
    return await audit_all(grown.store, KEYS, Beside(cosigned=note), lambda _: None)


async def test_each_head_that_grew_out_of_the_last_one_is_cosigned(grown, witness, monkeypatch):
    submitter = submitter_of(grown, witness)
    await submitter.once()
    assert await last_cosigned(settings_of(witness), NAME) is None
    for count in (1, 1, 2, 3, 5, 1, 8):
        size = await grown(count)
        await submitter.once()
        assert (witness.known[NAME][0].size, behind()) == (size, 0)
    for count in (3, 6):
        await grown(count)
    await submitter_of(grown, witness).once()  # a new process: it asks where the witness is
    assert witness.asked[-2:] == [0, 21]
    monkeypatch.setattr(cosigned, "MOST_LEAVES", 2)
    for count in (2, 2, 4):
        await grown(count)
    await submitter_of(grown, witness).once()
    assert witness.asked[-4:] == [0, 30, 32, 34]  # by steps
    assert read_checkpoint(await last_cosigned(settings_of(witness), NAME), KEYS, "it").size == 38
    found = await compared(grown, witness)
    assert (found.head.size, found.cosigned) == (38, 38)


@pytest.mark.attack(63, guard="preklic_workers.ledger_audit:_fits")
async def test_a_ledger_written_anew_is_not_cosigned_and_does_not_fit(grown, witness):
    await grown(3)
    await grown(4)
    submitter = submitter_of(grown, witness)
    await submitter.once()
    for name in ("ledger", "checkpoints"):
        await grown.store.mongo[name].bulk([DeleteMany({})])
    anew = sequencer_of(grown.store)
    for count in (3, 4, 1):
        for _ in range(count):
            await grown.store.acts.record(Act("looked", "mojca", "case 4"))
        await anew.once()
        await anew.checkpoint()
    signed = witness.known[NAME]
    for one in (submitter, submitter_of(grown, witness)):
        await one.once()
        assert behind() == float("inf")
    assert witness.known[NAME] == signed
    with pytest.raises(Altered, match="the head that the witness signed: this ledger does not have the head of 7"):
        await compared(grown, witness)
    await grown.store.mongo["ledger"].bulk([DeleteMany({"_id": {"$gte": 3}})])
    await grown.store.mongo["checkpoints"].bulk([DeleteMany({"_id": {"$gt": 3}})])
    await submitter_of(grown, witness).once()  # it was cut, and the witness knows a later head
    assert behind() == float("inf")


@pytest.mark.attack(63, guard="preklic_workers.ledger.witnessed:cosignature")
async def test_what_the_witness_did_not_sign_is_not_believed(grown, witness):
    size = await grown(2)
    note = (await grown.store.ledger.stamps.newest_head()).note
    other, before = SigningWitness(KEYS), note.replace("\n2\n", "\n1\n")
    sound = witness.line(note)
    wrong = [other.line(note), witness.line(before), "", "— x y\n"]
    wrong += [sound[:-9], sound.replace(" ", "  "), sound.replace("w1", "w2")]
    for line in wrong:
        witness.forced = (200, line.encode())
        await submitter_of(grown, witness).once()
        assert behind() == 1, line
        witness.forced = (200, (note + line).encode())
        with pytest.raises(Altered):
            await last_cosigned(settings_of(witness), NAME)
    for forced in ((500, b""), (302, b""), (200, b"\xff"), (200, bytes(30_000)), (409, b"0\n")):
        witness.forced = forced
        await submitter_of(grown, witness).once()
        assert behind() == 1, forced
    for forced in ((404, b""), (403, b""), (422, b""), (409, b"no"), (409, b"77\n"), (409, b"1" * 17)):
        witness.forced = forced
        await submitter_of(grown, witness).once()
        assert behind() == float("inf"), forced
    witness.forced = None
    await submitter_of(grown, witness).once()
    assert (witness.known[NAME][0].size, behind()) == (size, 0)
    gone = Cosigner(url="http://127.0.0.1:9/w", key=witness.vkey)
    with pytest.raises(Unanswered):
        await last_cosigned(gone, NAME)
    await Submitter(grown.store.ledger.stamps, gone, cosigner_key(gone)).once()
    assert behind() == 1
