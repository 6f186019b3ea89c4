"""Rules of time stamps and of the witness's copy: settings, gaps, limits, and what is read of DER."""

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preklic_shared.settings import SettingsError, load_settings
from preklic_workers.ledger.stamp_audit import Gap, gaps, odd_time
from preklic_workers.ledger.stamped import read_stamp
from preklic_workers.ledger.stamps import MOST_CHAIN, BadChain, Refused, Trust, question, stamped_at, trust_in
from preklic_workers.ledger.verify import Altered
from preklic_workers.stamping import trust_of
from preklic_workers.store.stamps import SignedHead
from preklic_workers.witness import append, last_note, line_of, note_in, notes_of
from stamping import make_authority, reply

START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
HEAD = "primer.example/preklic\n12\nAAAA\n\n— primer.example/preklic AAAA\n"


@pytest.fixture(scope="module")
def stamped(tmp_path_factory):
    """A sound answer, and whom to believe it by."""
    folder = tmp_path_factory.mktemp("unit") / "authority"
    root = make_authority(folder)
    return reply(folder, question(HEAD).as_bytes()), trust_in(root.read_bytes())


@pytest.mark.attack(63, guard="preklic_workers.ledger.stamps:fault_in")
def test_no_octet_of_what_a_stamp_says_can_be_changed(stamped):
    octets, trust = stamped
    said, (imprint, time) = stamped_at(octets, HEAD, trust), read_stamp(octets, "it")
    assert f"{said:%Y%m%d%H%M%SZ}" == time
    believed = 0
    for place in range(len(octets)):
        changed = octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :]
        try:
            again = stamped_at(changed, HEAD, trust)
        except Refused:
            continue
        believed += 1  # octets that are under no signature and say nothing
        assert (again, read_stamp(changed, "it")) == (said, (imprint, time))
    assert believed < 20


@given(st.binary(max_size=300))
@example(b"\x30\x84\xff\xff\xff\xff")
@example(b"\x30\x80" * 200)
@example(b"\x30")
def test_anything_else_is_no_stamp(octets):
    with pytest.raises(Altered, match=r"^it: this is not a time stamp over SHA-256$"):
        read_stamp(octets, "it")
    with pytest.raises(Refused, match="form"):
        stamped_at(octets, HEAD, Trust((), ""))


def heads(*hours):
    return [(size, START + hour * HOUR) for size, hour in enumerate(hours, 1)]


def at(hour):
    return START + hour * HOUR


@pytest.mark.parametrize(
    ("signed", "stamps", "now", "expected"),
    [
        ((), {}, 0, []),
        ((0, 0.5, 1), {1: 0, 3: 1}, 1, []),
        ((0, 0.5, 1), {1: 0, 3: 2}, 2, []),  # the second waited for an hour and a half
        ((0, 1), {}, 1.5, []),
        ((0, 1, 9), {}, 9, [Gap(1, 2, at(0), None)]),
        ((0, 1, 5), {3: 5}, 5, [Gap(1, 2, at(0), at(5))]),
        (
            (0, 1, 5, 6, 20),
            {1: 0, 3: 5, 4: 20},
            30,
            [Gap(2, 2, at(1), at(5)), Gap(4, 4, at(6), at(20)), Gap(5, 5, at(20), None)],
        ),
    ],
)
def test_gaps_are_where_no_stamp_came_within_two_intervals(signed, stamps, now, expected):
    assert gaps(heads(*signed), {size: at(hour) for size, hour in stamps.items()}, HOUR, at(now)) == expected


@settings(max_examples=40)
@given(st.lists(st.integers(0, 500), max_size=30), st.dictionaries(st.integers(1, 30), st.integers(0, 600), max_size=9))
def test_a_head_is_in_a_gap_or_has_a_stamp_in_time(hours, stamps):
    signed = heads(*sorted(hours))
    times = {size: at(hour) for size, hour in stamps.items() if size <= len(signed)}
    missed = gaps(signed, times, HOUR, at(1000))
    for size, signed_at in signed:
        over = min((one for one in times if one >= size), default=None)
        held = any(gap.first <= size <= gap.last for gap in missed)
        assert held == (over is None or times[over] - signed_at > 2 * HOUR)
    assert all(one.last < other.first for one, other in pairwise(missed))


def test_a_stamp_fits_its_last_leaf_within_the_skew_and_a_day():
    assert odd_time(at(0), None) is None
    assert odd_time(at(0), at(0.05)) is None
    assert odd_time(at(24), at(0)) is None
    assert "set ahead" in odd_time(at(0), at(0.1))
    assert "set back" in odd_time(at(26), at(0))


URL = {"PREKLIC_STAMPS__CA": "/etc/preklic/authority.pem"}


def test_an_authority_is_a_url_certificates_and_an_interval():
    found = load_settings(URL | {"PREKLIC_STAMPS__URL": "http://tsa.primer.example/tsr", "PREKLIC_WITNESS": "/mnt/w"})
    assert (found.stamps.every, found.witness.name) == (3600, "w")
    for url in ("ftp://a/", "https://", "https://ana:word@a/", "https://[a/", "https://a/#b", "https://ž/"):
        with pytest.raises(SettingsError, match="PREKLIC_STAMPS: the url"):
            load_settings(URL | {"PREKLIC_STAMPS__URL": url})
    for more in ({"PREKLIC_STAMPS__EVERY": "59"}, {"PREKLIC_STAMPS__EVERY": "43201"}, {"PREKLIC_STAMPS__KEY": "x"}):
        with pytest.raises(SettingsError):
            load_settings(URL | {"PREKLIC_STAMPS__URL": "https://a/"} | more)
    with pytest.raises(SettingsError, match="STAMPS__CA: the file cannot be read"):
        trust_of(found.stamps)


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"-" * (MOST_CHAIN + 1), "ž".encode()])
def test_certificates_that_are_none_are_refused(pem):
    with pytest.raises(BadChain, match="the authority's certificates"):
        trust_in(pem)


def test_a_line_of_the_witness_is_a_head_in_one_form_alone():
    assert note_in(line_of(HEAD)) == HEAD
    for line in (b"", b"{}\n", line_of(HEAD)[:-1], line_of("no head"), line_of(HEAD).replace(b": ", b":"), b"[" * 9000):
        assert note_in(line) is None


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=5))
def test_whatever_a_crash_cut_off_the_copy_is_read_and_a_change_is_found(tmp_path_factory, crashes):
    path = tmp_path_factory.mktemp("copy") / "heads.jsonl"
    note = HEAD
    for size, (torn, octets) in enumerate(crashes, 13):
        append(path, [SignedHead(0, note, START)])
        assert last_note(path) == note
        if torn:
            with path.open("rb+") as file:
                file.truncate(path.stat().st_size - octets)
        else:
            note = HEAD.replace("12", str(size))
    append(path, [SignedHead(0, note, START)])
    found = [one for _, one in notes_of(path, path.stat().st_size)]
    assert found == sorted(found, key=lambda one: int(one.split("\n")[1]))
    assert len(found) == sum(not torn or octets == 1 for torn, octets in crashes) + 1
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(Altered, match=r"^line 1 of the witness"):
        list(notes_of(path, path.stat().st_size))
