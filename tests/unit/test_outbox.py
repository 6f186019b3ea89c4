import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from preklic_producers.gateway.marker import mark_of
from preklic_producers.outbox import Outbox, OutboxFailed, OutboxFull, Parcel
from preklic_shared.marks import decode_mark, encode_mark


def parcels(count, size=100, start=0):
    return [Parcel(f"job-{start + n}", "revoke", bytes(size)) for n in range(count)]


def jobs(box):
    return [parcel.job for parcel in box.waiting()]


@pytest.fixture
def box(tmp_path):
    box = Outbox(tmp_path / "box" / "outbox.sqlite", max_bytes=3000)
    yield box
    box.close()


def test_jobs_wait_in_their_order_and_go_when_they_are_forgotten(box):
    box.put(parcels(3))
    box.put(parcels(1, start=3))
    assert jobs(box) == ["job-0", "job-1", "job-2", "job-3"]
    box.forget(box.waiting(limit=2))
    assert jobs(box) == ["job-2", "job-3"]
    assert len(box) == 2


def test_the_same_job_twice_is_one_row(box):
    box.put(parcels(1))
    box.put(parcels(1))
    assert len(box) == 1


def test_the_box_is_bounded_and_room_comes_back(box):
    box.put(parcels(10))
    with pytest.raises(OutboxFull):
        box.put(parcels(1, start=10))
    assert len(box) == 10
    box.forget(box.waiting(limit=5))
    box.put(parcels(5, start=10))
    assert len(box) == 10


def test_all_or_none_of_a_group_is_stored(box):
    with pytest.raises(OutboxFull):
        box.put(parcels(11))
    assert len(box) == 0


def test_a_share_of_the_box_is_full_before_the_box_is(box):
    box.put(parcels(5), share=0.5)
    with pytest.raises(OutboxFull):
        box.put(parcels(1, start=5), share=0.5)
    box.put(parcels(5, start=5))
    assert len(box) == 10


def test_its_age_is_that_of_the_oldest_job(tmp_path):
    now = [1000.0]
    box = Outbox(tmp_path / "outbox.sqlite", clock=lambda: now[0])
    assert box.age() == 0.0
    box.put(parcels(1))
    now[0] += 5
    box.put(parcels(1, start=1))
    now[0] += 2
    assert box.age() == 7.0
    box.forget(box.waiting(limit=1))
    assert box.age() == 2.0
    now[0] -= 100
    assert box.age() == 0.0


def test_the_file_is_the_owners_alone(tmp_path):
    path = tmp_path / "outbox.sqlite"
    Outbox(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_commit_is_on_disk_before_put_returns(box):
    (synchronous,) = box._db.execute("PRAGMA synchronous").fetchone()
    (journal,) = box._db.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, journal) == (2, "wal")


WRITER = """
import sys
from pathlib import Path
from preklic_producers.outbox import Outbox, Parcel
box = Outbox(Path(sys.argv[1]))
for number in range(100_000):
    box.put([Parcel(f"job-{number}", "revoke", b"x")])
    print(number, flush=True)
"""


def test_what_was_stored_is_there_after_kill_nine(tmp_path):
    path = tmp_path / "outbox.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        told = [int(writer.stdout.readline()) for _ in range(50)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().splitlines()]
    box = Outbox(path)
    stored = [parcel.job for parcel in box.waiting(limit=100_000)]
    assert stored[: len(told)] == [f"job-{number}" for number in told]
    assert len(stored) - len(told) in (0, 1)
    box.close()


def test_a_disk_that_fails_is_told_and_nothing_is_stored(tmp_path):
    box = Outbox(tmp_path / "outbox.sqlite")
    box._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(OutboxFailed):
        box.put(parcels(1, size=200_000))
    box._db.execute("PRAGMA max_page_count = 1000000")
    assert len(box) == 0
    box.put(parcels(1))
    assert len(box) == 1
    box.close()


def test_a_place_where_nothing_can_be_written_is_told(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutboxFailed):
        Outbox(blocked / "outbox.sqlite")


def test_a_locked_box_is_told_and_not_waited_for_for_ever(box, tmp_path):
    box._db.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "box" / "outbox.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutboxFailed):
        box.put(parcels(1))
    other.execute("ROLLBACK")
    other.close()
    box.put(parcels(1))


def test_threads_share_it(box):
    def put(start):
        box.put(parcels(2, start=start))

    threads = [threading.Thread(target=put, args=(n * 2,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(jobs(box)) == [f"job-{n}" for n in range(10)]


def test_a_forked_child_has_a_connection_of_its_own(box):
    mother = box._db
    pid = os.fork()
    if pid == 0:
        box.put(parcels(1, start=7))
        os._exit(0 if box._db is not mother else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert jobs(box) == ["job-7"]


def test_one_at_a_time_publishes_from_it(tmp_path):
    one, two = Outbox(tmp_path / "outbox.sqlite"), Outbox(tmp_path / "outbox.sqlite")
    with one.turn() as mine:
        assert mine
        with two.turn() as theirs:
            assert not theirs
    with two.turn() as theirs:
        assert theirs
    one.close()
    two.close()


def test_the_oldest_no_is_known_and_no_other_job_counts(tmp_path):
    seconds = iter([10.0, 20.0, 30.0, 40.0])
    box = Outbox(tmp_path / "outbox.sqlite", clock=lambda: next(seconds))
    box.put([Parcel("track-1", "track", b"x")])
    assert box.oldest_no() is None
    box.put([Parcel("no-1", "revoke", b"x")])
    box.put([Parcel("no-2", "revoke", b"x")])
    assert box.oldest_no() == 20.0
    box.forget([parcel for parcel in box.waiting() if parcel.job == "no-1"])
    assert box.oldest_no() == 30.0
    plan = box._db.execute("EXPLAIN QUERY PLAN SELECT min(stored) FROM jobs WHERE actor = 'revoke'").fetchall()
    assert "noes" in str(plan)
    box.close()


def test_a_box_keeps_its_name_and_no_other_has_it(tmp_path):
    first, other = Outbox(tmp_path / "a.sqlite"), Outbox(tmp_path / "b.sqlite")
    again = Outbox(tmp_path / "a.sqlite")
    assert first.name == again.name
    assert first.name != other.name
    for box in (first, other, again):
        box.close()


def test_a_mark_promises_nothing_that_waits_and_a_gateway_leaves_only_when_no_no_does(tmp_path):
    box = Outbox(tmp_path / "outbox.sqlite")
    before = int(time.time() * 1000)
    mark = mark_of(box)
    assert before <= mark.published == mark.at <= time.time() * 1000
    assert (mark.gateway, mark.leaves) == (box.name, False)
    assert mark_of(box, last=True).leaves
    box.put([Parcel("no", "revoke", b"x")])
    stored = int(box.oldest_no() * 1000)
    time.sleep(0.005)
    late = mark_of(box, last=True)
    assert (late.published, late.leaves) == (stored, False)
    assert decode_mark(encode_mark(late)) == late
    box.close()
