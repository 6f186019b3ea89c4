import datetime as dt
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lawing import BORIS, KEYS, MOJCA, OFFICERS, ZALA, officer
from preklic_shared.ids import new_id
from preklic_shared.settings import SettingsError, load_settings
from preklic_workers import approving
from preklic_workers import officers as officials
from preklic_workers.approving import APPROVE, ASK, Asked, asking, check_next, read
from preklic_workers.keydir import KeyDirError
from preklic_workers.ledger.leaves import canonical
from preklic_workers.officers import Denied, Signer, load_key, make_key, signer_of
from preklic_workers.private_files import NotWritten

NOW = dt.datetime(2026, 11, 27, 9, tzinfo=dt.UTC)
PERSON = "p" * 43


def request_by(signer, kind="disclosure", groups=("contact",)):
    return asking(Asked(id=new_id(), kind=kind, by=signer.name, person=PERSON, groups=groups), signer, NOW)


def approved(request, *signers, word=APPROVE):
    return replace(request, approvals=tuple(signer.sign(word, request.body, NOW) for signer in signers))


def code(call, *arguments):
    with pytest.raises(Denied) as denied:
        call(*arguments)
    return denied.value.code


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=4))))
def test_the_same_fields_are_the_same_bytes_in_any_order(fields):
    body = canonical(fields)
    assert body == canonical(dict(reversed(fields.items())))
    assert msgspec.json.decode(body) == fields
    officials.check_signed(MOJCA.sign("ask", body, NOW), "ask", body, "hold", OFFICERS)


@pytest.mark.clause("U9", guard="preklic_workers.officers:check_signed")
@pytest.mark.clause("U14", guard="preklic_workers.officers:check_signed")
@pytest.mark.parametrize(
    ("forge", "officers", "why"),
    [
        (lambda s: replace(s, signature=bytes(64)), OFFICERS, "altered"),
        (lambda s: replace(s, at=s.at + dt.timedelta(seconds=1)), OFFICERS, "altered"),
        (lambda s: replace(s, officer="boris"), OFFICERS, "no_officer"),
        (lambda s: replace(s, officer="boris", public=BORIS.public), OFFICERS, "altered"),
        (lambda s: s, OFFICERS[1:], "no_officer"),
        (lambda s: s, [officer(MOJCA, "hold")], "no_right"),
        (lambda s: s, [officer(Signer("mojca", KEYS["zala"]))], "no_officer"),
    ],
)
def test_a_word_that_no_officer_of_today_said_counts_for_nothing(forge, officers, why):
    request = request_by(MOJCA)
    forged = replace(request, asked=forge(request.asked))
    assert code(officials.check_signed, forged.asked, ASK, forged.body, "disclose", officers) == why


@pytest.mark.clause("U9", guard="preklic_workers.officers:check_signed")
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_request_with_any_byte_changed_is_nobodys(place, flip):
    request = request_by(MOJCA)
    body = bytearray(request.body)
    body[place % len(body)] ^= flip
    with pytest.raises(Denied):
        read(replace(request, body=bytes(body)), Asked, OFFICERS)


def test_a_request_that_was_copied_under_another_id_is_none():
    request = request_by(MOJCA)
    assert read(request, Asked, OFFICERS).groups == ("contact",)
    assert code(read, replace(request, id=new_id()), Asked, OFFICERS) == "altered"
    assert code(read, replace(request, kind="breakglass"), Asked, OFFICERS) == "altered"
    assert code(read, replace(request, asked=BORIS.sign(ASK, request.body, NOW)), Asked, OFFICERS) == "altered"


@pytest.mark.clause("U9", guard="preklic_workers.approving:check_approvals")
@pytest.mark.parametrize(
    "signers",
    [
        (),
        (MOJCA,),
        (BORIS,),
        (BORIS, BORIS),
        (BORIS, Signer("boris", KEYS["zala"])),
        (BORIS, Signer("zala", KEYS["boris"])),
    ],
)
def test_a_disclosure_needs_two_different_officers_with_two_different_keys(signers):
    # Even where the settings would let one person in twice.
    officers = [*OFFICERS, *(officer(one) for one in signers)]
    with pytest.raises(Denied):
        approving.check_approvals(approved(request_by(MOJCA), *signers), officers)


def test_two_of_whom_one_may_have_asked_are_enough():
    approving.check_approvals(approved(request_by(MOJCA), MOJCA, BORIS), OFFICERS)
    approving.check_approvals(approved(request_by(MOJCA), ZALA, BORIS), OFFICERS)


@pytest.mark.clause("U14", guard="preklic_workers.approving:check_approvals")
@pytest.mark.parametrize("signers", [(), (MOJCA,), (Signer("zala", KEYS["mojca"]),)])
def test_break_glass_needs_a_second_person(signers):
    officers = [officer(MOJCA), officer(Signer("zala", KEYS["mojca"])), officer(BORIS)]
    request = request_by(MOJCA, "breakglass")
    assert code(approving.check_approvals, approved(request, *signers), officers) == "not_approved"
    approving.check_approvals(approved(request, BORIS), officers)


def test_asking_is_not_approving_and_an_approval_is_of_one_request_alone():
    request, other = request_by(MOJCA), request_by(MOJCA)
    assert code(approving.check_approvals, approved(request, MOJCA, BORIS, word=ASK), OFFICERS) == "altered"
    borrowed = replace(request, approvals=approved(other, BORIS, ZALA).approvals)
    assert code(approving.check_approvals, borrowed, OFFICERS) == "altered"


def test_an_approval_that_would_not_count_is_refused_at_once():
    assert code(check_next, request_by(MOJCA, "breakglass"), MOJCA) == "same_officer"
    request = approved(request_by(MOJCA), BORIS)
    assert code(check_next, request, BORIS) == "same_officer"
    assert code(check_next, request, Signer("zala", KEYS["boris"])) == "same_officer"
    assert code(check_next, approved(request, BORIS, MOJCA), ZALA) == "approved_already"


@pytest.mark.clause("U9", guard="preklic_workers.officers:check_right")
def test_a_key_is_an_officers_with_this_right_or_nothing():
    assert signer_of(KEYS["mojca"], "hold", [officer(MOJCA, "hold")]).name == "mojca"
    assert code(signer_of, KEYS["mojca"], "hold", OFFICERS[1:]) == "no_officer"
    assert code(signer_of, KEYS["mojca"], "disclose", [officer(MOJCA, "hold")]) == "no_right"


def test_an_officers_key_is_made_once_and_read_by_its_owner_alone(tmp_path):
    file = tmp_path / "mojca.ed25519"
    public = make_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_key(file).public_key().public_bytes_raw() == public
    with pytest.raises(NotWritten, match="FileExistsError"):
        make_key(file)
    file.chmod(0o640)
    with pytest.raises(KeyDirError, match="read by others"):
        load_key(file)
    with pytest.raises(KeyDirError, match="is no file"):
        load_key(tmp_path / "nobody")


@pytest.mark.clause("U9", guard="preklic_shared.settings:check_officers")
@pytest.mark.parametrize(("second", "same"), [(("mojca", "b"), "name"), (("boris", "a"), "key")])
def test_one_person_is_not_two_officers(second, same):
    environ = {}
    for number, (name, digit) in enumerate([("mojca", "a"), second]):
        place = f"PREKLIC_OFFICERS__{number}__"
        environ |= {f"{place}NAME": name, f"{place}KEY": digit * 64, f"{place}MAY": "hold,disclose"}
    with pytest.raises(SettingsError, match=f"same {same}"):
        load_settings(environ)
    sound = load_settings({**environ, "PREKLIC_OFFICERS__1__NAME": "zala", "PREKLIC_OFFICERS__1__KEY": "c" * 64})
    assert sound.officers[1].may == ("hold", "disclose")
