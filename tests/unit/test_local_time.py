"""Wall clocks: the moment at which a zone's clocks show a time, on ordinary days and when they are changed."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_workers import clocks, local_time
from preklic_workers.local_time import begins, shown, zone_of, zones

FIRST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
MINUTES = st.integers(0, 18 * 366 * 1440).map(lambda minutes: FIRST + dt.timedelta(minutes=minutes))
ZONES = st.sampled_from(sorted(zones()))


def wall(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def clock(moment, zone):
    """What a clock there shows, as a wall clock."""
    return moment.astimezone(zone).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("zone", "text", "moment"),
    [
        ("Europe/Ljubljana", "2026-12-01T09:00", "2026-12-01T08:00Z"),
        ("Europe/Ljubljana", "2026-07-01T09:00", "2026-07-01T07:00Z"),
        # Never shown: the clocks go from 02:00 to 03:00.
        ("Europe/Ljubljana", "2027-03-28T02:30", "2027-03-28T01:30Z"),
        ("America/New_York", "2027-03-14T02:00", "2027-03-14T07:00Z"),
        # Shown twice: the first time.
        ("Europe/Ljubljana", "2026-10-25T02:30", "2026-10-25T00:30Z"),
        ("America/New_York", "2026-11-01T01:30", "2026-11-01T05:30Z"),
        # Half an hour back, and a day that never was.
        ("Australia/Lord_Howe", "2027-04-04T01:45", "2027-04-03T14:45Z"),
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T22:00Z"),
        ("Asia/Kathmandu", "2026-12-01T09:00", "2026-12-01T03:15Z"),
    ],
)
def test_the_moment_at_which_a_clock_shows_it(zone, text, moment):
    assert shown(wall(text), ZoneInfo(zone)) == dt.datetime.fromisoformat(moment)


@given(MINUTES, ZONES)
def test_every_clock_shows_it_then_for_the_first_time_or_has_just_jumped_over_it(at, name):
    zone = ZoneInfo(name)
    moment = shown(at, zone)
    there = clock(moment, zone)
    if there == at:
        # The first time: never within the day before.
        ago = (moment - dt.timedelta(minutes=15 * back) for back in range(1, 97))
        assert all(clock(before, zone) != at for before in ago)
    else:
        # A gap: no clock shows it, and the mail is as late as the jump was long.
        jump = there - at
        assert dt.timedelta(0) < jump <= dt.timedelta(hours=24)
        assert clock(moment - jump, zone) < at < there


@given(MINUTES, ZONES)
def test_nobody_s_clock_shows_it_before_the_walk_begins_and_everybody_s_within_26_hours(at, name):
    assert begins(at) <= shown(at, ZoneInfo(name)) <= begins(at) + dt.timedelta(hours=26, minutes=1)


@pytest.mark.attack(65, guard="preklic_workers.local_time:zones")
@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b"])
def test_what_is_no_zone_is_none_and_no_file_is_looked_for(name, monkeypatch):
    monkeypatch.setattr(local_time, "ZoneInfo", None)
    assert zone_of(name) is None


@pytest.mark.parametrize("value", [7, None, {}, ["Europe/Ljubljana"], True])
def test_a_field_that_is_no_text_is_no_zone(value):
    assert zone_of(value) is None


def test_a_registry_whose_zone_is_none_is_refused():
    class Wrong:
        timezone = "Mars/Olympus"

    with pytest.raises(clocks.RegistryError, match="timezone"):
        clocks.company_zone(Wrong)
