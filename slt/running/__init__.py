"""Runs: the one loop over steps, and what is done between its calls."""

from slt.running.counted import Allowance
from slt.running.forecast import Forecast, forecast
from slt.running.sample import sample, sample_within

__all__ = ["Allowance", "Forecast", "forecast", "sample", "sample_within"]
