import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_workers.blind import Blind
from preklic_workers.durable import Locked, locked
from preklic_workers.envelope import NoKey
from preklic_workers.incarnation import Kept, agrees
from preklic_workers.store import Mark
from preklic_workers.store.controls import YOUNG, believable
from preklic_workers.tombstones import FILE, Broken, Tombstone, Tombstones

BLIND = Blind(suppress=b"s" * 32, lookup=b"l" * 32)
STONES = [Tombstone(f"{number:043d}", 1_764_000_000_000 + number) for number in range(5)]


@pytest.fixture
def written(tmp_path):
    Tombstones(tmp_path, BLIND).append(STONES)
    return tmp_path / FILE


def test_what_is_appended_is_read_again_by_whoever_opens_it(tmp_path, written):
    again = Tombstones(tmp_path, BLIND)
    assert (again.count, list(again.read())) == (5, STONES)
    again.append(STONES[:1])
    assert list(Tombstones(tmp_path, BLIND).read()) == [*STONES, STONES[0]]
    assert written.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(rb"([0-9A-Za-z_ -]+\n){6}", written.read_bytes())


def test_two_writers_of_one_file_follow_each_other(tmp_path):
    one, other = Tombstones(tmp_path, BLIND), Tombstones(tmp_path, BLIND)
    one.append(STONES[:2])
    other.append(STONES[2:4])
    one.append(STONES[4:])
    assert list(Tombstones(tmp_path, BLIND).read()) == STONES
    with locked(tmp_path / f"{FILE}.lock"), pytest.raises(Locked):
        one.append(STONES)


CHANGES = {
    "a line edited": lambda lines: [*lines[:2], lines[2].replace(b"0002 ", b"0009 ", 1), *lines[3:]],
    "a time edited": lambda lines: [lines[0].replace(b"1764", b"1765"), *lines[1:]],
    "a line taken out": lambda lines: [*lines[:1], *lines[2:]],
    "the first line taken out": lambda lines: lines[1:],
    "two lines exchanged": lambda lines: [lines[1], lines[0], *lines[2:]],
    "a line put in": lambda lines: [*lines[:3], lines[2], *lines[3:]],
    "a line without its MAC": lambda lines: [*lines[:4], lines[4][:60] + b"\n"],
    "an endless line": lambda lines: [*lines, b"x" * 5000],
    "no text": lambda lines: [*lines, b"\xff\x00\n"],
}


@pytest.mark.attack(60, guard="preklic_workers.tombstones:intact")
@pytest.mark.parametrize("change", ["a line edited", "a time edited"])
def test_an_edited_line_is_found(tmp_path, written, change):
    written.write_bytes(b"".join(CHANGES[change](written.read_bytes().splitlines(keepends=True))))
    with pytest.raises(Broken, match=r"line [1-6] (is no tombstone|was changed)"):
        Tombstones(tmp_path, BLIND)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_other_change_is_found_too(tmp_path, written, change):
    written.write_bytes(b"".join(change(written.read_bytes().splitlines(keepends=True))))
    with pytest.raises(Broken):
        Tombstones(tmp_path, BLIND)


def test_a_line_that_a_crash_has_cut_was_never_told(tmp_path, written):
    written.write_bytes(written.read_bytes()[:-10])
    again = Tombstones(tmp_path, BLIND)
    assert list(again.read()) == STONES[:4]
    again.append(STONES[4:])
    assert list(Tombstones(tmp_path, BLIND).read()) == STONES


def test_another_key_or_none_opens_nothing(tmp_path, written):
    with pytest.raises(Broken):
        Tombstones(tmp_path, Blind(b"o" * 32, b""))
    with pytest.raises(NoKey):
        Tombstones(tmp_path, Blind(b"", b""))


marks = st.builds(Mark, st.integers(1, 9), st.sampled_from("ab"))


@given(st.lists(marks, max_size=6), marks, marks)
def test_the_file_allows_the_last_mark_and_the_next_and_no_other(before, now, nxt):
    kept = Kept(now, nxt)
    assert agrees(kept, now)
    assert agrees(kept, nxt)
    assert not any(agrees(kept, one) for one in [None, *before] if one not in (now, nxt))
    assert not agrees(None, now)


@given(marks, marks)
def test_a_mark_that_went_back_or_is_another_of_the_same_number_is_not_believed(seen, found):
    assert believable(seen, found, 10 * YOUNG) == (found.number > seen.number or found == seen)
    assert not believable(seen, None, YOUNG)
    assert believable(None, found, YOUNG)
    assert not believable(None, found, 2 * YOUNG)
    assert believable(None, None, 2 * YOUNG)
