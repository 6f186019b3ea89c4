"""Bundles of evidence: believed on a bare machine, and no octet of one can be changed."""

import base64
import contextlib
import io
import random
import string
import zipfile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from evidencing import bare_in, bundle_of, listed
from ledgering import KEY, NAME, PUBLIC, sequencer_of
from preklic_workers.evidence import Issuer, Unproven, export
from preklic_workers.evidence_scope import About
from preklic_workers.ledger.archive import archive, read_archive
from preklic_workers.ledger.bundle import ALTERED, NO_ANCHOR, TRUE, check, report
from preklic_workers.ledger.sequencing import Sequencer
from preklic_workers.ledger.verify import Altered, read_canonical
from storing import REGISTRY, claimed, gated, grant, subject, withdraw

ANA = "ana@primer.example"
ALPHABET = string.ascii_letters + string.digits + "+/"


def as_octets(*texts):
    """Whether these are base64 of the same octets."""
    return len({base64.b64decode(text) for text in texts}) == 1


@pytest.fixture
def store(emptied_store):
    return emptied_store


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return bare_in(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def mail(store):
    """A mail's whole way, and the no after it, under a signed head; the mail's id."""
    await grant(store, ANA)
    await grant(store, "boris@primer.example")
    message = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), message)
    await store.messages.settle(message, 1, "sent", relay="main", processor="Pošta", reply={"code": 250})
    await withdraw(store, ANA)
    await sequencer_of(store).once()
    await sequencer_of(store).checkpoint()
    return message


@pytest.mark.clause("U13", guard="preklic_workers.ledger.archive:read_archive")
async def test_a_bundle_is_believed_on_a_bare_machine_and_one_changed_octet_is_not(store, mail, bare, tmp_path):
    octets = await bundle_of(store, About(record=mail))
    verdict = check(octets, [PUBLIC])
    assert [one.kind for one in verdict.shown] == ["mail.sent", "permission.granted", "withdrawal.closed"]
    assert {one.content["person"] for one in verdict.shown} == {subject(ANA)}
    assert verdict.code == TRUE
    with zipfile.ZipFile(io.BytesIO(octets)) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == read_archive(octets)
    target, script = tmp_path / "bundle.zip", tmp_path / "verify.py"
    target.write_bytes(octets)
    script.write_bytes(read_archive(octets)["verify.py"])
    seen = bare(script, target, "--key", PUBLIC.hex())
    assert (seen.returncode, seen.stderr) == (TRUE, "")
    assert "3 records are as they were signed" in seen.stdout
    assert bare(script, target).returncode == NO_ANCHOR
    chance, found = random.Random(5), 0
    for _ in range(300):
        place = chance.randrange(len(octets))
        changed = octets[:place] + bytes([octets[place] ^ 1 << chance.randrange(8)]) + octets[place + 1 :]
        code, lines = report(changed, [PUBLIC])
        found += (code, lines[0].startswith("ALTERED: ")) == (ALTERED, True)
    assert found == 300


@pytest.mark.clause("U13", guard="preklic_workers.ledger.verify:check_opening")
async def test_another_content_key_or_leaf_is_found_even_in_an_archive_of_the_right_form(store, mail):
    files = read_archive(await bundle_of(store, About(record=mail)))
    name = next(one for one in files if one.startswith("openings/"))
    salt = read_canonical(files[name], name)["salt"]
    same = next(one for one in (f"{salt[:-2]}{char}=" for char in ALPHABET) if one != salt and as_octets(one, salt))
    for changed in (
        files[name].replace(b"newsletter", b"newspapers"),
        files[name].replace(b'"salt":"', b'"salt":"A'),
        files[name].replace(salt.encode(), same.encode()),  # another text of the same octets
    ):
        with pytest.raises(Altered):
            check(listed(files | {name: changed}, KEY), [PUBLIC])
    with pytest.raises(Altered, match="no known key"):
        check(archive(files), [bytes(range(32))])


@pytest.mark.clause("U13", guard="preklic_workers.ledger.bundle:_keys")
async def test_who_drops_a_record_and_packs_anew_has_no_signature_for_it(store, mail):
    files = read_archive(await bundle_of(store, About(record=mail)))
    gone = read_canonical(files["manifest.json"], "it")["leaves"][0]["place"]
    less = {name: octets for name, octets in files.items() if name.rpartition("/")[2].partition(".")[0] != str(gone)}
    assert check(listed(less, KEY), [PUBLIC]).code == TRUE  # whoever has the ledger's key says what he likes
    other = Ed25519PrivateKey.generate()
    for packed in (listed(less), listed(less, other)):
        with pytest.raises(Altered, match=r"manifest"):
            check(packed, [PUBLIC])
        assert report(packed, [])[0] == ALTERED
    with pytest.raises(Altered, match=r"manifest\.note: missing"):
        check(archive({name: octets for name, octets in files.items() if name != "manifest.note"}), [PUBLIC])


@pytest.mark.clause("U13", guard="preklic_workers.ledger.bundle:_heads")
async def test_the_keys_that_signed_are_shown_with_their_first_and_last_heads(store, mail):
    older = Ed25519PrivateKey.generate()
    public = older.public_key().public_bytes_raw()
    await store.mongo["checkpoints"].delete({})
    before = Sequencer(store.ledger, store.mongo, NAME, older)
    for address in ("cene@primer.example", "darja@primer.example"):
        await before.checkpoint()
        await grant(store, address)
        await before.once()
    await sequencer_of(store).checkpoint()
    octets = await export(store, About(record=mail), Issuer(NAME, KEY, REGISTRY, [public]), "mojca", "why")
    verdict, files = check(octets, [PUBLIC]), read_archive(octets)
    assert verdict.code == TRUE
    assert [one["public"] for one in verdict.manifest["keys"]] == [public.hex(), PUBLIC.hex()]
    assert all(one["from"] <= one["until"] for one in verdict.manifest["keys"])
    assert sorted(name for name in files if name.startswith("checkpoints/")) == [
        f"checkpoints/{size}.note" for size in (4, 5, 6)
    ]
    with pytest.raises(Altered, match=r"manifest\.note: no known key"):
        check(octets, [public])  # who knows the older one alone cannot tell what signs today
    forged = files["checkpoints/4.note"].replace(b"\n4\n", b"\n3\n")
    with pytest.raises(Altered, match="its signature is wrong"):
        check(listed(files | {"checkpoints/4.note": forged}, KEY), [PUBLIC])
    left_out = check(await bundle_of(store, About(record=mail)), [PUBLIC])
    assert [sorted(one) for one in left_out.manifest["strange_keys"]] == [["from", "id", "until"]]


async def test_after_an_erasure_the_chain_is_shown_and_the_content_is_gone(store, mail):
    await store.vault.destroy(subject(ANA))
    verdict = check(await bundle_of(store, About(person=subject(ANA))), [PUBLIC])
    assert [one.content for one in verdict.shown] == [None, None, None]
    assert len(verdict.gaps) == 3


async def test_of_what_is_not_there_or_not_signed_there_is_no_bundle(store):
    with pytest.raises(Unproven, match="nothing is signed yet"):
        await bundle_of(store, About(record="0" * 36))
    await grant(store, ANA)
    await sequencer_of(store).once()
    await sequencer_of(store).checkpoint()
    with pytest.raises(Unproven, match="wait a minute"):
        await bundle_of(store, About(record="0" * 36))


NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z0-9]{1,8})?\.txt", fullmatch=True)


@settings(max_examples=200)
@given(st.dictionaries(NAMES, st.binary(max_size=40), max_size=4), st.data())
def test_no_octet_of_an_archive_can_be_changed(files, data):
    octets = archive(files)
    assert read_archive(octets) == files
    place, bit = data.draw(st.integers(0, len(octets) - 1)), data.draw(st.integers(0, 7))
    changed = octets[:place] + bytes([octets[place] ^ 1 << bit]) + octets[place + 1 :]
    with contextlib.suppress(Altered):
        assert read_archive(changed) != files  # another archive in its one form: the manifest's digests find it


@given(st.binary(max_size=300))
def test_anything_else_is_no_archive(octets):
    assert report(octets, [PUBLIC])[0] == ALTERED
