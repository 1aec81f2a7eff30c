"""Sweeps that are killed, with no chance to tidy up, and gone on with."""

import os
from pathlib import Path

import pytest

from tests.checkpoints.killed_sweeps import kill_and_finish, require_nothing_lost

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")


def test_a_killed_sweep_finishes_with_the_files_of_an_undisturbed_one(tmp_path: Path) -> None:
    # the folder's opening forces two times to the disk; then each checkpoint's trace, manifest and table do
    trace, manifest, table = 3, 5, 7
    kills = [("loss", 0.5), ("loss", 1.5), ("disk", trace), ("disk", manifest), ("disk", table)]
    killed = kill_and_finish(tmp_path, 3, kills)
    assert [len(kept) for kept in killed.kept] == [0, 1, 1, 1, 2, 3]
    require_nothing_lost(killed)
