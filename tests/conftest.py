"""What every test runs under: the same examples each time, one thread a process, no window."""

import os

import pytest
from hypothesis import settings


def pytest_configure(config: pytest.Config) -> None:
    """Set what torch, BLAS and matplotlib read when they load: after this, and in child processes too."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MPLBACKEND"] = "Agg"


settings.register_profile("slt", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("slt")
