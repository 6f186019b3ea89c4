"""What a person types for a job: any text is an id, a Message-ID, a key, or nothing; none of it is an error of ours."""

import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.ids import is_id, job_id_for, named, new_id, numbered
from preklic_workers.naming import KINDS, job_of, jobs_of_key, made_at


@given(st.text(max_size=60) | st.uuids().map(str) | st.uuids().map(lambda job: f"<{job}@lucrum.example>"))
def test_whatever_is_typed_names_jobs_or_nothing(text):
    job = job_of(text)
    assert job is None or (is_id(job) and job in text)
    jobs = jobs_of_key(text, {"website.shop", "gateway"})
    assert len(jobs) in {0, 2 * len(KINDS)}
    assert all(map(is_id, jobs))


SOME_ID = "01a21f77-0e7c-7ed1-8c4c-75673c0352fb"


@given(st.uuids())
def test_an_id_says_when_it_was_made_or_says_nothing(job):
    at = made_at(str(job))
    assert at is None or (job.version == 7 and dt.datetime(2020, 1, 1, tzinfo=dt.UTC) < at)


def test_a_fresh_id_was_made_now_and_a_made_up_one_at_no_time():
    assert abs(made_at(new_id()) - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=5)
    for made_up in ("ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-7000-8000-000000000000"):
        assert made_at(made_up) is None


@pytest.mark.parametrize("text", ["a@b@c", "<a@b", f"<{SOME_ID}@x", f"{SOME_ID}@", SOME_ID.upper()])
def test_what_is_nearly_a_name_is_no_id(text):
    assert job_of(text) is None or "@x" in text


def test_a_key_names_the_job_that_the_producer_made_of_it():
    assert job_id_for("website.shop", "send:order 7") in jobs_of_key("order 7", ["website.shop"])
    for no_key in ("", "x" * 201, "č", "a\n"):
        assert jobs_of_key(no_key, ["website.shop"]) == {}


@given(st.uuids(), st.text(max_size=60))
def test_a_named_id_is_the_one_that_the_standard_library_makes(space, name):
    assert named(space.bytes, name) == str(uuid.uuid5(space, name))


@given(st.uuids(), st.lists(st.integers(0, (1 << 42) - 1), min_size=1, unique=True))
def test_numbered_ids_are_in_the_order_of_their_numbers_and_of_no_time(space, numbers):
    ids = [numbered(space.bytes, number) for number in sorted(numbers)]
    assert ids == sorted(set(ids))
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in ids} == {(8, uuid.RFC_4122)}
    assert made_at(ids[0]) is None
