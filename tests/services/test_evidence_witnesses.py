"""What witnesses signed, in evidence: kept, linked to the records, and checked by a key from elsewhere."""

import asyncio
import base64
import random

import pytest
from pymongo import UpdateOne

from evidencing import bare_in, bundle_of, listed
from ledgering import KEY, KEYS, PUBLIC, sequencer_of
from preklic_shared.stamp_settings import Cosigner, Stamps
from preklic_workers.cosigned import Submitter, cosigner_key
from preklic_workers.evidence_scope import About
from preklic_workers.ledger.archive import read_archive
from preklic_workers.ledger.bundle import ALTERED, INCOMPLETE, NO_ANCHOR, TRUE, check, report
from preklic_workers.ledger.notes import sign
from preklic_workers.ledger.verify import Altered, Head
from preklic_workers.ledger.witnessed import key_of
from preklic_workers.ledger_audit import Beside, audit_all
from preklic_workers.stamping import Stamper, trust_of
from preklic_workers.store import Act, Unavailable
from preklic_workers.store.cosignatures import Cosignatures, Kept
from stamping import authority_in
from storing import grant, subject
from witnessing import SigningWitness, witness_of

ANA = "ana@primer.example"


@pytest.fixture
def witness():
    with witness_of(KEYS) as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with authority_in(tmp_path_factory.mktemp("stamps") / "authority") as made:
        yield made


class World:
    """A yes of Ana in a ledger that a witness signs and an authority stamps."""

    def __init__(self, store, witness) -> None:
        self.store, self.witness, self.heads = store, witness, store.ledger.stamps
        self.about = About(person=subject(ANA))

    async def grow(self, count: int = 1) -> int:
        await asyncio.gather(*(self.store.acts.record(Act("looked", "mojca", "case 3")) for _ in range(count)))
        await sequencer_of(self.store).once()
        return await sequencer_of(self.store).checkpoint()

    def submitter(self) -> Submitter:
        settings = Cosigner(url=self.witness.url, key=self.witness.vkey)
        return Submitter(self.heads, settings, cosigner_key(settings))

    async def stamp(self, authority) -> None:
        named = Stamps(url=authority.url, ca=authority.root)
        await Stamper(self.heads, named, trust_of(named)).stamp(await self.heads.newest_head())

    async def kept(self) -> list[Kept]:
        return [one async for one in self.heads.cosignatures.up_to(1000)]

    async def bundle(self) -> bytes:
        return await bundle_of(self.store, self.about)


@pytest.fixture
async def world(emptied_store, witness):
    made = World(emptied_store, witness)
    await grant(emptied_store, ANA)
    await made.grow(2)
    return made


@pytest.mark.clause("U13", guard="preklic_workers.ledger.witnessed:cosignature")
async def test_the_first_cosigned_head_over_the_records_is_in_the_bundle_and_its_witness_is_believed_alone(
    world, witness, tmp_path
):
    submitter = world.submitter()
    for _ in range(3):
        await submitter.once()
        await world.grow()
    assert [one.size for one in await world.kept()] == [3, 4, 5]
    octets = await world.bundle()
    files, known = read_archive(octets), key_of(witness.vkey)
    verdict = check(octets, [PUBLIC], [known])
    assert (verdict.code, [(one.size, one.name, one.key) for one in verdict.cosigned]) == (
        TRUE,
        [(3, "witness.example/w1", known)],
    )
    assert files["cosignatures/3.note"].decode().startswith((await world.heads.head(3)).note)
    assert witness.vkey.encode() in files["cosignatures/README.txt"]
    target, script = tmp_path / "bundle.zip", tmp_path / "verify.py"
    target.write_bytes(octets)
    script.write_bytes(files["verify.py"])
    bare = bare_in(tmp_path / "empty")
    seen = bare(script, target, "--key", PUBLIC.hex(), "--witness", witness.vkey)
    assert (seen.returncode, seen.stderr) == (TRUE, "")
    (line,) = [line for line in seen.stdout.splitlines() if line.startswith("witness: ")]
    assert line.startswith("witness: the head of 3 leaves, by witness.example/w1 at 20")
    assert "not checked" not in line
    code, lines = report(octets, [PUBLIC])  # nobody named the witness: it is told, and not believed
    assert (code, sum("that was not checked: give --witness" in line for line in lines)) == (TRUE, 1)
    assert report(octets, [], [known])[0] == NO_ANCHOR
    other = key_of(SigningWitness(KEYS).vkey)
    for named in ([other], [known, other]):  # of the same name, with another key
        code, lines = report(octets, [PUBLIC], named)
        told = "INCOMPLETE: no head in it is cosigned by witness.example/w1 with this key"
        assert (code, told in lines) == (INCOMPLETE, True)
    assert bare(script, target, "--witness", "no").returncode == 2


@pytest.mark.parametrize("stamped_first", [True, False])
async def test_a_stamped_and_a_cosigned_head_are_both_over_the_records(world, witness, authority, stamped_first):
    sizes = []
    for turn in range(2):
        if stamped_first == (turn == 0):
            await world.stamp(authority)
        else:
            await world.submitter().once()
        sizes.append((await world.heads.newest_head()).size)
        await world.grow(270)
    octets = await world.bundle()
    files = read_archive(octets)
    first, last = sizes if stamped_first else sizes[::-1]
    assert {name for name in files if name.endswith((".tsr", "/3.note", "/273.note"))} >= {
        f"stamps/{first}.tsr",
        f"stamps/{first}.note",
        f"cosignatures/{last}.note",
    }
    verdict = check(octets, [PUBLIC], [key_of(witness.vkey)])
    assert (verdict.code, verdict.stamps[0].size, verdict.cosigned[0].size) == (TRUE, first, last)
    assert [name for name in files if name.startswith("growth/")] == ["growth/273.txt"]
    chance = random.Random(9)
    names = ["growth/273.txt", f"cosignatures/{last}.note"]
    for _ in range(40):
        name = chance.choice(names)
        changed = bytearray(files[name])
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        code, lines = report(listed(files | {name: bytes(changed)}, KEY), [PUBLIC], [key_of(witness.vkey)])
        unsigned = code == INCOMPLETE and "no head in it is cosigned by" in "".join(lines)
        assert (code == ALTERED and lines[0].startswith("ALTERED: ")) or (unsigned and "cosig" in name), lines
    without = {name: one for name, one in files.items() if not name.startswith("growth/")}
    with pytest.raises(Altered, match=r"/273\.note: the records are not shown to be under it"):
        check(listed(without, KEY), [PUBLIC])


@pytest.mark.attack(63, guard="preklic_workers.ledger.witnessed:check_growth")
async def test_a_cosigned_head_of_another_history_does_not_stand_for_these_records(world, witness):
    """Packed by somebody who has the ledger's key, and showed the witness another history."""
    await world.submitter().once()
    files = read_archive(await world.bundle())
    for size in (3, 7):
        note = sign(Head("primer.example/preklic", size, bytes(32)), KEY)
        theirs = {f"cosignatures/{size}.note": (note + witness.line(note)).encode()}
        theirs |= {f"growth/{size}.txt": f"old 3\n\n{note}".encode()}
        with pytest.raises(Altered):
            check(listed(files | theirs, KEY), [PUBLIC], [key_of(witness.vkey)])


@pytest.mark.attack(63, guard="preklic_workers.ledger.witnessed:cosignature")
async def test_a_signature_in_the_witnesss_name_that_is_not_its_own_is_altered(world, witness):
    await world.submitter().once()
    files = read_archive(await world.bundle())
    note = files["cosignatures/3.note"].decode()
    body, line = note.rsplit("— ", 1)
    octets = bytearray(base64.b64decode(line.split(" ")[1]))
    for place in (11, 40, 75):  # its time, and its signature
        forged = octets.copy()
        forged[place] ^= 1
        packed = f"{body}— {line.split(' ')[0]} {base64.b64encode(forged).decode()}\n".encode()
        packed = listed(files | {"cosignatures/3.note": packed}, KEY)
        assert report(packed, [PUBLIC], [key_of(witness.vkey)])[0] == ALTERED
    alone = listed(files | {"cosignatures/3.note": body.encode()}, KEY)
    assert "no witness signed it" in report(alone, [PUBLIC])[1][0]


@pytest.mark.attack(63, guard="preklic_workers.ledger_audit:_counted")
async def test_verify_counts_the_cosignatures_and_names_one_that_was_edited(world, witness):
    submitter = world.submitter()
    for _ in range(3):
        await submitter.once()
        await world.grow()

    async def audited(*known):
        return await audit_all(world.store, KEYS, Beside(cosigners=known), lambda _: None)

    known, kept = key_of(witness.vkey), await world.kept()
    assert ((found := await audited(known)).cosignatures, found.strange) == (3, 0)
    assert ((found := await audited()).cosignatures, found.strange) == (0, 3)
    place = world.store.mongo["cosignatures"]
    for line in (kept[1].line, "", kept[2].line[:-9]):
        await place.bulk([UpdateOne({"_id": 5}, {"$set": {"line": line}})])
        with pytest.raises(Altered, match=r"^the cosignature of 5 leaves: "):
            await audited(known)
    await place.delete({"_id": 5})
    assert (await audited(known)).cosignatures == 2
    await world.heads.cosignatures.keep(Kept(77, kept[2].line, witness.vkey, kept[2].at))
    with pytest.raises(Altered, match=r"^the cosignature of 77 leaves: this ledger has no such head"):
        await audited(known)


async def test_an_answer_that_was_not_kept_is_asked_for_again(world, witness, monkeypatch):
    async def away(_self, _one):
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Cosignatures, "keep", away)
        with pytest.raises(Unavailable):
            await world.submitter().once()
    assert (witness.known["primer.example/preklic"][0].size, await world.kept()) == (3, [])
    for _ in range(2):
        await world.submitter().once()  # a new process
        assert [one.size for one in await world.kept()] == [3]
    witness.forced = (409, b"3\n")  # a witness that signs no head twice
    await world.store.mongo["cosignatures"].delete({})
    again = world.submitter()
    await again.once()
    witness.forced = None
    await world.grow()
    await again.once()
    assert [one.size for one in await world.kept()] == [4]


async def test_a_cosignature_that_does_not_hold_is_in_no_bundle(world, witness):
    await world.submitter().once()
    kept = world.store.mongo["cosignatures"]
    for fields in ({"line": "— x y"}, {"vkey": SigningWitness(KEYS).vkey}, {"vkey": "no"}):
        await kept.bulk([UpdateOne({"_id": 3}, {"$set": fields})])
        with pytest.raises(Altered, match=r"^the cosignature of 3 leaves: "):
            await world.bundle()
