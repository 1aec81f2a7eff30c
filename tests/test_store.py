import hashlib
import os
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from slt import _store
from slt._store import atomic_write, file_fingerprint, fingerprint, slt_version


def fail_halfway(path):
    path.write_bytes(b"half of")
    raise KeyboardInterrupt


@pytest.mark.parametrize("content", [b"new", lambda path: path.write_text("new")])
@pytest.mark.parametrize("before", [None, "old"])
def test_atomic_write_makes_or_replaces(tmp_path, content, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_text(before)
    atomic_write(path, content)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, fail_halfway)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_content_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    events = []
    force, replace = _store._force_to_disk, os.replace
    monkeypatch.setattr(_store, "_force_to_disk", lambda path: (events.append(path.name[:2]), force(path)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), replace(a, b)))
    atomic_write(tmp_path / "file", b"new")
    assert events[:2] == [".f", "rename"]


def test_symbolic_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o440])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    atomic_write(path, b"new")
    assert path.stat().st_mode & 0o777 == mode


def test_a_new_file_has_the_mode_that_the_process_gives(tmp_path):
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "file", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"):
        atomic_write(tmp_path / "nowhere" / "file", b"")


def test_file_fingerprint_is_the_sha_256_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"weights")
    assert file_fingerprint(tmp_path / "a") == hashlib.sha256(b"weights").hexdigest()


SAME = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([1, 2], (1, 2)),
    (np.arange(6).reshape(2, 3)[:, ::-1], np.arange(6).reshape(2, 3)[:, ::-1].copy()),
]
DIFFERENT = [
    (1, 1.0),
    (1, True),
    (None, "None"),
    ("1", 1),
    (["ab", "c"], ["a", "bc"]),
    ([[1], 2], [[1, 2]]),
    ([1, 23], [12, 3]),
    ({"a": 1}, [["a", 1]]),
    (np.zeros(2, np.float32), np.zeros(2)),
    (np.zeros((2, 3)), np.zeros((3, 2))),
    (np.zeros(1), 0.0),
    (np.array([0.0]), np.array([-0.0])),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_inputs_have_one_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_inputs_have_different_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("value", [object(), {1: 2}, {1, 2}, b"bytes", np.array([object()])])
def test_fingerprint_refuses_what_it_cannot_read(value):
    with pytest.raises(TypeError, match=type(value).__name__):
        fingerprint({"here": value})


def test_version_is_unknown_only_where_slt_is_not_installed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    def broken(name):
        raise OSError("metadata cannot be read")

    monkeypatch.setattr(_store, "version", missing)
    assert slt_version() == "unknown"
    monkeypatch.setattr(_store, "version", broken)
    with pytest.raises(OSError, match="cannot be read"):
        slt_version()
