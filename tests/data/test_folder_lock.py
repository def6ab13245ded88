"""Lock of an output folder: exclusive, released by any end of its holder, taken over only from the dead."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pfitre_jax.data import folder_lock
from pfitre_jax.data.folder_lock import LOCK, FolderInUse, lock_folder

HOLD = """
import sys, time
from pfitre_jax.data.folder_lock import lock_folder
with lock_folder(sys.argv[1], "pfitre first"):
    print("held", flush=True)
    time.sleep(60)
"""
#: Processes that enter the folder one at a time if the lock is exclusive; each stays for a moment.
COMPETE = """
import os, sys, time
from pfitre_jax.data.folder_lock import FolderInUse, lock_folder
entered, folder = 0, sys.argv[1]
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    try:
        with lock_folder(folder, "compete"):
            inside = os.open(folder + "/inside", os.O_CREAT | os.O_EXCL)
            os.close(inside)
            time.sleep(0.001)
            os.unlink(folder + "/inside")
            entered += 1
    except FolderInUse:
        time.sleep(0.0005)
print(entered)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(folder_lock, "TOUCH_SECONDS", 0.02)
    monkeypatch.setattr(folder_lock, "SILENT_SECONDS", 0.2)


def start(code, *words):
    line = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True)


def lock_of_another_host(path, pid=1):
    holder = {"host": "elsewhere", "pid": pid, "started": "2026-01-01 00:00:00", "command": "pfitre there"}
    path.write_text(json.dumps(holder))


def test_a_second_holder_is_refused_with_the_first_and_nothing_is_left(tmp_path):
    folder = tmp_path / "a" / "out"
    with lock_folder(folder, "pfitre first"):
        with pytest.raises(FolderInUse, match=rf"process {os.getpid()} on \S+, since .*: pfitre first"):
            with lock_folder(folder, "pfitre second"):
                pass
        assert [path.name for path in folder.iterdir()] == [LOCK]
    assert list(tmp_path.iterdir()) == []
    folder.mkdir(parents=True)
    (folder / "mine").write_text("")
    with lock_folder(folder, "pfitre second"):
        pass
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "SILENT_SECONDS", 60)
    holder = start(HOLD, tmp_path)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(FolderInUse, match=f"process {holder.pid} on .*pfitre first"):
        with lock_folder(tmp_path, ""):
            pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert (tmp_path / LOCK).exists()
    began = time.monotonic()
    with lock_folder(tmp_path, ""):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert time.monotonic() - began < 30


def test_the_lock_of_another_machine_is_taken_over_once_nobody_touches_it(tmp_path):
    """A network file system may show the file of another machine without its lock."""
    lock_of_another_host(tmp_path / LOCK)
    with lock_folder(tmp_path, "pfitre here"):
        assert "pfitre here" in (tmp_path / LOCK).read_text()
        # While it is held, it is touched.
        first = (tmp_path / LOCK).stat().st_mtime_ns
        until = time.monotonic() + 10
        while (tmp_path / LOCK).stat().st_mtime_ns == first:
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.parametrize("locks", [True, False])
def test_a_lock_that_is_touched_from_elsewhere_is_refused(tmp_path, monkeypatch, locks):
    """Without locks of the operating system, also one of this machine."""
    monkeypatch.setattr(folder_lock, "SILENT_SECONDS", 30)
    if not locks:
        monkeypatch.setattr(folder_lock, "_try_lock", lambda descriptor: None)
    ended = folder_lock.threading.Event()
    if locks:
        lock_of_another_host(tmp_path / LOCK)
        holder = json.loads((tmp_path / LOCK).read_text())
        arguments = (tmp_path / LOCK, holder, ended)
        touching = folder_lock.threading.Thread(target=folder_lock._touch, args=arguments)
        touching.start()
        expected = "process 1 on elsewhere"
    else:
        held = lock_folder(tmp_path, "pfitre first")
        held.__enter__()
        expected = f"process {os.getpid()} on"
    try:
        with pytest.raises(FolderInUse, match=expected):
            with lock_folder(tmp_path, ""):
                pass
    finally:
        ended.set()
        touching.join() if locks else held.__exit__(None, None, None)


def test_a_lock_that_another_run_took_over_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "TOUCH_SECONDS", 0.01)
    other = json.dumps({"host": "elsewhere", "pid": 1, "started": "now", "command": "pfitre second"})
    path = tmp_path / LOCK
    with lock_folder(tmp_path, "pfitre first"):
        path.write_text(other)
        os.utime(path, (1, 1))
        time.sleep(0.1)
        assert path.stat().st_mtime == 1
    assert path.read_text() == other


def test_a_lock_that_is_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError), lock_folder(tmp_path, ""):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_competing_processes_hold_the_lock_one_at_a_time(tmp_path):
    """They create and remove the folder's lock all the time; a second one inside would fail."""
    folder = tmp_path / "out"
    folder.mkdir()
    runs = [start(COMPETE, folder, 1.5) for _ in range(3)]
    entered = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sum(map(int, entered)) > 3 and list(folder.iterdir()) == []
