"""The trace at the end of a saved run, where the disk takes all but that."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import slt
from slt.errors import SaveError


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_it_is_an_error_with_the_draws_and_the_same_call_writes_it(tmp_path: Path) -> None:
    toy = slt.toys.quadratic(2)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)

    def run(folder: Path) -> slt.Trace:
        settings = {"chains": 2, "draws": 50, "warmup": 20, "progress": False, "save_to": folder}
        return slt.sample(posterior, slt.HMC(), **settings)

    with (
        no_file_beyond(15_000),
        pytest.raises(SaveError, match=r"run cannot be written: .*large.*the same call resumes") as refused,
    ):
        run(tmp_path / "run")
    assert not (tmp_path / "run" / "trace.nc").exists()
    kept, finished, calm = refused.value.trace, run(tmp_path / "run"), run(tmp_path / "calm")
    for trace in (kept, finished, slt.Trace.load(tmp_path / "run")):
        np.testing.assert_array_equal(trace.get("posterior", "excess"), calm.get("posterior", "excess"))
    assert (tmp_path / "run" / "trace.nc").read_bytes() == (tmp_path / "calm" / "trace.nc").read_bytes()
