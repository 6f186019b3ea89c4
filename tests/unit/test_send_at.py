"""`send_at` where it is asked for: what time it may be, what it is bound to, and how the command says it."""

import doctest
import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commanding import Commands
from preklic_producers import commands
from preklic_producers.courier import Receipt
from preklic_producers.drafts import Drafter
from preklic_producers.fields import MAX_LATE, Rejected, send_at_of
from preklic_producers.gateway.errors import ApiError
from preklic_producers.gateway.intake import _message
from preklic_producers.seals import Seals
from preklic_shared.job_fields import SEND_AHEAD
from preklic_shared.registry import load_registry
from preklic_shared.sealing import Tampered
from preklic_shared.wire import Malformed, convert, decode
from preklic_workers import keyfiles, timed
from preklic_workers.accounting import account
from producing import sealing
from sending import send_job

NOW = 1_800_000_000_000
ZERO = datetime(1970, 1, 1, tzinfo=UTC)
MAIL = {"to": "ana@primer.si", "purpose": "newsletter", "template": "newsletter"}
MILLI = timedelta(milliseconds=1)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    return sealing(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def drafts(sealed):
    return Drafter("website", load_registry(), Seals(sealed.path, bytes.fromhex(sealed.pin)), clock=lambda: NOW)


def job_of(parcel):
    return decode(parcel.body, "send.bulk")[1]


def at(ahead: timedelta) -> datetime:
    return ZERO + NOW * MILLI + ahead


def tried(moment):
    try:
        return send_at_of(moment, NOW)
    except Rejected as rejected:
        return rejected.field


@given(st.datetimes(timezones=OFFSETS) | st.timedeltas(-2 * MAX_LATE, SEND_AHEAD + MAX_LATE).map(at))
def test_a_time_is_taken_as_it_is_or_refused_by_its_field(moment):
    """By the exact span, whatever its zone: nothing in between, and no overflow at the ends of time."""
    ahead = moment - at(timedelta())
    taken = tried(moment)
    if taken == "send_at":
        assert ahead < -MAX_LATE or ahead > SEND_AHEAD
    else:
        assert ZERO + taken * MILLI <= moment < ZERO + (taken + 1) * MILLI
        assert -MAX_LATE <= ahead < SEND_AHEAD + MILLI


@pytest.mark.attack(8, guard="preklic_producers.fields:send_at_of")
@pytest.mark.parametrize(
    "hostile",
    [
        datetime(2027, 1, 15, 9),  # noqa: DTZ001 -- without its zone is the point
        "2027-01-15T09:00:00Z",
        2**62,
        -1,
        1e300,
        True,
        at(-MAX_LATE - MILLI),
        at(SEND_AHEAD + MILLI),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=23))),
    ],
)
def test_a_hostile_time_is_refused_before_anything_is_sent(drafts, hostile):
    with pytest.raises(Rejected) as rejected:
        drafts.send(**MAIL, send_at=hostile)
    assert rejected.value.field == "send_at"
    assert str(hostile) not in rejected.value.message


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('"2027-01-15T09:00:00"', 422),
        ('"2027-01-15"', 422),
        ('"tomorrow"', 422),
        (str(2**62), 422),
        ("-1", 422),
        ('"2001-01-01T00:00:00Z"', 422),
        ('"2027-03-01T00:00:00Z"', 422),
        ('"9999-12-31T23:59:59-23:59"', 422),
        ("NaN", 400),
        ('"2027-01-16T09:00:00+01:00"', None),
        ('"2027-01-16T08:00:00Z"', None),
        ("null", None),
    ],
)
def test_over_http_the_same_holds(drafts, text, status):
    body = json.dumps(MAIL).encode()[:-1] + b', "send_at": ' + text.encode() + b"}"
    if status is None:
        job = job_of(_message(drafts, body, None))
        assert job.send_at == (None if text == "null" else 1_800_086_400_000)
        return
    with pytest.raises((Rejected, ApiError)) as refused:
        _message(drafts, body, None)
    if status == 422:
        assert refused.value.field == "send_at"
    else:
        assert refused.value.status == status


def test_what_would_be_over_when_it_begins_is_refused(drafts):
    with pytest.raises(Rejected) as refused:
        drafts.send(**MAIL, send_at=at(SEND_AHEAD), expires=at(SEND_AHEAD))
    assert refused.value.field == "expires"


def test_its_life_counts_from_then(drafts):
    life = timedelta(seconds=load_registry().get("newsletter").expires)
    then = at(timedelta(days=3))
    assert job_of(drafts.send(**MAIL, send_at=then)).expires == NOW + (timedelta(days=3) + life) // MILLI
    assert job_of(drafts.send(**MAIL, send_at=at(-MAX_LATE))).expires == NOW + life // MILLI
    hour = job_of(drafts.send(**MAIL, send_at=then, expires=timedelta(hours=1)))
    assert hour.expires - hour.send_at == 3_600_000
    with pytest.raises(Rejected):
        drafts.send(**MAIL, send_at=then, expires=at(timedelta(days=2)))


@pytest.mark.attack(10)
def test_the_time_is_bound_by_the_seal_and_a_mail_without_one_is_sealed_as_before(drafts, sealed):
    job = job_of(drafts.send(**MAIL, send_at=at(timedelta(days=1))))
    assert sealed.open(job).to == MAIL["to"]
    for moved in (job.send_at + 1, None):
        with pytest.raises(Tampered):
            sealed.open(msgspec.structs.replace(job, send_at=moved))
    assert b"send_at" not in job_of(drafts.send(**MAIL)).header()


@pytest.mark.parametrize("value", [2**62, -1, "2027-01-15T09:00:00Z", 1e12, True])
def test_on_the_broker_it_is_milliseconds_or_no_job(value):
    fields = msgspec.to_builtins(send_job()) | {"send_at": value}
    with pytest.raises(Malformed) as malformed:
        convert(fields, type(send_job()), "job")
    assert malformed.value.field == "job.send_at"


def test_a_key_outlives_what_waits_the_longest():
    """A producer may seal with a key of 8 days; a day is left for tiers."""
    assert keyfiles.VALID + SEND_AHEAD + timedelta(days=1) <= keyfiles.SEALING_KEPT


def test_what_waits_is_accounted_for_and_unsettled():
    told = account({"a": "send.now"}, (), {"a": "scheduled"}, {})
    assert (told.unaccounted, dict(told.states), told.settled) == (0, {"waiting": 1}, False)


def test_the_command_says_when(monkeypatch, capsys):
    asked = {}

    class Sender:
        def __init__(self, _settings):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def send(self, *_, **more):
            asked.update(more)
            return Receipt("job", "queued")

    monkeypatch.setattr(commands, "Producer", Sender)
    run = Commands(monkeypatch, capsys, {"PREKLIC_AMQP_URL": "amqp://127.0.0.1/"})
    words = ("send", MAIL["to"], "--purpose", "newsletter", "--template", "newsletter")
    assert run(*words, "--at", "2027-01-16T09:00+01:00")[0] == 0
    assert asked["send_at"] == datetime(2027, 1, 16, 8, tzinfo=UTC)
    assert run(*words)[0] == 0
    assert asked["send_at"] is None
    assert run(*words, "--at", "tomorrow")[0] == 2


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(timed).failed == 0
