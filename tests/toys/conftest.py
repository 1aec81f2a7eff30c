"""What the tests of toys share."""

import pytest
import torch


@pytest.fixture
def float64():
    """Exact work in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
