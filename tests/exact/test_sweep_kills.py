"""A sweep that is killed twenty-five times."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints.killed_sweeps import kill_and_finish, require_nothing_lost


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")
@pytest.mark.exact
def test_twenty_five_kills_lose_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kills = [("loss", rng.uniform(0.05, 1.4)) if i % 3 else ("disk", int(rng.integers(1, 9))) for i in range(25)]
    killed = kill_and_finish(tmp_path, 24, kills)
    assert 3 < len(killed.kept[-2]) < 24  # the kills neither stopped all progress nor came after the end
    require_nothing_lost(killed)
