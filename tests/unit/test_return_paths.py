import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared import return_paths
from preklic_shared.return_paths import LENGTH, Bounce, Leave
from preklic_shared.tokens import KEY_BYTES, TokenKeys

MESSAGE = "00010203-0405-0607-0809-0a0b0c0d0e0f"
KEYS = TokenKeys({1: b"k" * KEY_BYTES, 2: b"l" * KEY_BYTES}, 2)


def local(token, keys=KEYS):
    address = return_paths.mint(keys, token, "primer.si")
    assert address.endswith("@primer.si")
    return address.rpartition("@")[0]


@pytest.mark.parametrize("kind", [Bounce, Leave])
def test_a_token_survives_a_change_of_case_and_fits_a_local_part(kind):
    text = local(kind(MESSAGE))
    assert len(text) == LENGTH + 2 <= 64
    assert return_paths.check(KEYS, text.upper(), kind) == kind(MESSAGE) == return_paths.check(KEYS, text, kind)


def test_an_old_key_still_verifies_and_a_strange_one_does_not():
    old = TokenKeys({1: b"k" * KEY_BYTES}, 1)
    assert return_paths.check(KEYS, local(Bounce(MESSAGE), old), Bounce) == Bounce(MESSAGE)
    strange = TokenKeys({2: b"z" * KEY_BYTES}, 2)
    assert return_paths.check(KEYS, local(Bounce(MESSAGE), strange), Bounce) is None


def test_the_two_kinds_are_not_each_other():
    text = local(Bounce(MESSAGE)).removeprefix(Bounce.PREFIX)
    assert return_paths.check(KEYS, Leave.PREFIX + text, Leave) is None


@given(st.text(max_size=60) | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=LENGTH, max_size=LENGTH))
def test_what_was_not_minted_is_none(text):
    assert return_paths.check(KEYS, Bounce.PREFIX + text, Bounce) is None


@pytest.mark.attack(41, guard="preklic_shared.return_paths:same")
@given(st.integers(0, LENGTH - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_one_changed_character_is_found(place, letter):
    text = local(Bounce(MESSAGE)).removeprefix(Bounce.PREFIX)
    if text[place] != letter:
        assert return_paths.check(KEYS, Bounce.PREFIX + text[:place] + letter + text[place + 1 :], Bounce) is None
