"""A crash leaves no image of the memory, seen on processes that really crash."""

import ctypes
import faulthandler
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from preklic_shared import command, cores

DUMPED, KILLED = os.CLD_DUMPED, os.CLD_KILLED


def crash(folder: Path, before) -> int:
    """How a process that may leave a core, does `before` and aborts, ends: `CLD_DUMPED` or `CLD_KILLED`."""
    pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()
            os.chdir(folder)
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
            Path("/proc/self/coredump_filter").write_text("0")
            before()
        finally:
            os.abort()
    ended = os.waitid(os.P_PID, pid, os.WEXITED)
    assert ended is not None
    return ended.si_code


@pytest.mark.clause("P1", guard="preklic_shared.cores:leave_no_core")
@pytest.mark.attack(67, guard="preklic_shared.cores:leave_no_core")
def test_a_crash_leaves_no_core(tmp_path):
    if crash(tmp_path, lambda: None) != DUMPED:
        pytest.skip("no process may leave a core here")
    for core in tmp_path.iterdir():
        core.unlink()
    assert crash(tmp_path, cores.leave_no_core) == KILLED
    assert list(tmp_path.iterdir()) == []


def test_the_second_lock_holds_alone(tmp_path, monkeypatch):
    # Where the kernel pipes cores to a program the size limit says nothing.
    monkeypatch.setattr(cores, "resource", SimpleNamespace(RLIMIT_CORE=0, setrlimit=lambda *_: None))
    assert crash(tmp_path, cores.leave_no_core) == KILLED


def test_every_command_begins_with_it(monkeypatch):
    class Told(Exception):
        pass

    def told():
        raise Told

    monkeypatch.setattr(command, "leave_no_core", told)
    with pytest.raises(Told):
        command.main()
