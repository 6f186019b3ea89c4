import datetime as dt
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_workers import import_file
from preklic_workers.import_file import MAX_LINES, MAX_RECORD, BadFile, RowNo, RowRefused, RowYes, read

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
HEADER = b"address,wording,source,language,at,method,ref,state\n"
GOOD = b"ana@primer.example,newsletter@1,web,sl,2025-03-01T10:00:00+01:00,,,\n"


def rows(text: bytes, header: bytes = HEADER):
    return list(read(io.BytesIO(header + text), NOW))


def refusal(text: bytes):
    (row,) = rows(text)
    assert row == RowRefused(2, row.reason)
    return row.reason


def test_a_yes_comes_with_its_proof():
    (row,) = rows(b'Ana@Primer.example,"novice, 3",web,sl,2025-03-01T10:00:00.1239+01:00,dvakrat,stranka 7,granted\n')
    assert isinstance(row, RowYes)
    assert (row.line, row.address.text, row.state, row.ref) == (2, "Ana@primer.example", "granted", "stranka 7")
    assert row.at == dt.datetime(2025, 3, 1, 9, 0, 0, 123_000, tzinfo=dt.UTC)
    assert (row.proof.wording, row.proof.method, row.proof.note) == ("novice, 3", "import", "dvakrat")


def test_a_no_needs_an_address_only():
    found = rows(b"ana@primer.example,,,,,,,withdrawn\nbor@primer.example,,,,never,,,objected\n")
    assert [(type(row), row.state) for row in found] == [(RowNo, "withdrawn"), (RowNo, "objected")]
    (row,) = rows(b"ana@primer.example,objected\n", b"address,state\n")
    assert row.state == "objected"


@pytest.mark.clause("U2", guard="preklic_workers.import_file:proof_of")
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"ana@primer.example,,web,sl,2025-03-01T10:00:00Z,,,", "proof_wording"),
        (b"ana@primer.example,w, ,sl,2025-03-01T10:00:00Z,,,granted", "proof_source"),
        (b"ana@primer.example,w,web,,2025-03-01T10:00:00Z,,,pending", "proof_language"),
        (b"ana@primer.example,w,web,sl,,,,", "proof_at"),
    ],
)
def test_a_yes_without_its_proof_is_refused(row, reason):
    assert refusal(row) == reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"ana@primer.example,w,web,slo,2025-03-01T10:00:00Z,,,", "bad_language"),
        (b"ana@primer.example," + b"w" * 201 + b",web,sl,2025-03-01T10:00:00Z,,,", "bad_wording"),
        (b"ana@primer.example,w,web,sl,2025-03-01T10:00:00Z," + b"n" * 1001 + b",,", "bad_note"),
        (b"ana@primer.example,w,web,sl,yesterday,,,", "bad_at"),
        (b"ana@primer.example,w,web,sl,2025-03-01T10:00:00,,,", "at_without_zone"),
        (b"ana@primer.example,w,web,sl,2026-11-27T12:05:01Z,,,", "at_out_of_range"),
        (b"ana@primer.example,w,web,sl,0001-01-01T00:00:00+23:59,,,", "at_out_of_range"),
        (b"ana@primer.example,w,web,sl,2025-03-01T10:00:00Z,," + b"r" * 201 + b",", "ref"),
        (b"ana@primer.example,w,web,sl,2025-03-01T10:00:00Z,,,yes", "state"),
        (b"ana@primer.example,w,web,sl,2025-03-01T10:00:00Z,,", "columns"),
        (b"ana@primer.example,w,web,sl,2025-03-01T10:00:00Z,,,,", "columns"),
        (b"ana,w,web,sl,2025-03-01T10:00:00Z,,,", "address_at_sign"),
        (b" ana@primer.example,w,web,sl,2025-03-01T10:00:00Z,,,", "address_space"),
        (b"ana@primer.example,\xe8,web,sl,2025-03-01T10:00:00Z,,,", "encoding"),
        (b"ana@primer.example,\x00,web,sl,2025-03-01T10:00:00Z,,,", "control"),
        (b"ana@primer.example,a\rb,web,sl,2025-03-01T10:00:00Z,,,", "control"),
        (b'ana@primer.example,"w"x,web,sl,2025-03-01T10:00:00Z,,,', "quote"),
        (b"x" * (MAX_RECORD + 5), "too_long"),
    ],
)
def test_what_breaks_a_limit_is_refused_by_its_line(row, reason):
    assert refusal(row + b"\n") == reason
    assert [type(one) for one in rows(row + b"\n" + GOOD)] == [RowRefused, RowYes]


@pytest.mark.attack(28, guard="preklic_workers.import_file:parse")
@pytest.mark.parametrize("address", ["\uff41na@primer.example", "an\u200ba@primer.example", "an\u202ea@primer.example"])
def test_a_look_alike_in_a_list_is_no_row(address):
    reason = refusal(address.encode() + GOOD.removeprefix(b"ana@primer.example"))
    assert reason in {"address_homoglyph", "address_control"}


def test_rows_that_share_their_cells_share_the_proof_and_the_next_one_its_own():
    one, same, other = rows(GOOD + GOOD.replace(b"ana@", b"bor@") + GOOD.replace(b"web", b"paper"))
    assert one.proof is same.proof
    assert (one.proof.source, other.proof.source) == ("web", "paper")


def test_marks_endings_and_delimiters_of_spreadsheets():
    text = HEADER + GOOD + b"\n" + GOOD
    for form in (text, b"\xef\xbb\xbf" + text, text.replace(b"\n", b"\r\n"), text.replace(b",", b";"), text.rstrip()):
        assert [type(row) for row in read(io.BytesIO(form), NOW)] == [RowYes, RowYes]


def test_a_row_may_go_over_some_lines_and_the_next_keeps_its_number():
    first, second = rows(GOOD.replace(b"newsletter@1", b'"Rad bi\nnovice ""3"""') + GOOD)
    assert (first.line, first.proof.wording, second.line) == (2, 'Rad bi\nnovice "3"', 4)


def test_a_quote_that_never_ends_costs_its_own_line_only():
    found = rows(b'"' + GOOD + GOOD * (3 * MAX_LINES))
    assert found[0] == RowRefused(2, "quote")
    assert [row.line for row in found[1:]] == list(range(3, 3 + 3 * MAX_LINES))
    assert all(isinstance(row, RowYes) for row in found[1:])


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\n",
        b"ana@primer.example,w\n",
        b"address\n",
        b"address,address,state\n",
        b"wording,source,language,at\n",
        b"\xff\n",
    ],
)
def test_a_file_without_its_header_is_no_list(header):
    with pytest.raises(BadFile) as caught:
        rows(GOOD, header)
    assert "ana" not in str(caught.value)


class Endless(io.RawIOBase):
    """One line of 50 MB."""

    def __init__(self):
        self.left, self.most, self.header = 50_000_000, 0, HEADER

    def readline(self, size=-1):
        if self.header:
            line, self.header = self.header, b""
            return line
        self.most = max(self.most, size if size >= 0 else self.left)
        part = min(self.left, size)
        self.left -= part
        return b"x" * part


def test_a_line_without_an_end_is_never_held():
    endless = Endless()
    assert list(read(endless, NOW)) == [RowRefused(2, "too_long")]
    assert endless.most <= MAX_RECORD + 1


CELLS = st.sampled_from(
    [b"ana@primer.example", b'"', b",", b"\n", b"\r", b"sl", b"2025-03-01T10:00:00Z", b"\xff", b"x\x00"]
)


@given(st.lists(CELLS, max_size=60).map(b"".join))
def test_whatever_stands_in_a_list_each_row_is_read_or_refused_once(text):
    found = rows(text)
    lines = [row.line for row in found]
    assert lines == sorted(set(lines))
    assert all(2 <= line <= 2 + text.count(b"\n") for line in lines)
    assert all(row.reason.isidentifier() for row in found if isinstance(row, RowRefused))


def test_the_columns_are_those_that_the_help_names():
    assert set(import_file.PROOF) < set(import_file.COLUMNS)
