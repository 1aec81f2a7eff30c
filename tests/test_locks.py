"""One process and one thread at a time in a folder; a kill leaves no lock."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slt import _locks
from slt._locks import LOCK_FILE, locked
from slt.errors import ResumeError

ROOT = Path(__file__).parents[1]
HOLD = (
    "import sys; from slt._locks import locked\nwith locked(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
)


def holder(folder: Path) -> subprocess.Popen:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_another_process_is_kept_out_and_named_until_it_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as child:
        with pytest.raises(ResumeError, match=f"process {child.pid} on .* is using"), locked(tmp_path):
            pass
        child.kill()
        child.wait()
    assert (tmp_path / LOCK_FILE).exists()
    with locked(tmp_path) as lock:
        assert lock.held
    assert os.listdir(tmp_path) == []


def test_the_same_thread_may_take_it_again_and_another_may_not(tmp_path: Path) -> None:
    found = []

    def other() -> None:
        try:
            with locked(tmp_path / "." / ".." / tmp_path.name):
                found.append("taken")
        except ResumeError as error:
            found.append(str(error))

    with locked(tmp_path), locked(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another thread of this process" in found[0]
    other()
    assert found[1] == "taken"
    assert os.listdir(tmp_path) == []


def test_an_exception_releases_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    holder(tmp_path).communicate()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_does_not_hold_what_its_parent_held(tmp_path: Path) -> None:
    ready, go = os.pipe()
    with locked(tmp_path):
        child = os.fork()
        if not child:
            os.read(ready, 1)
            os._exit(0)
    holder(tmp_path).communicate()
    os.write(go, b".")
    assert os.waitpid(child, 0)[1] == 0
    for end in (ready, go):
        os.close(end)


def test_a_file_system_without_locks_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_locks, "_lock", refuse)
    with locked(tmp_path) as lock:
        assert (lock.held, lock.writable) == (False, True)
        assert "does not lock files" in lock.reason


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK_FILE).symlink_to(mine)
    with locked(tmp_path / "run") as lock:
        assert (lock.held, lock.writable) == (False, False)
    assert mine.read_text() == "kept"
