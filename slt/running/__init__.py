"""Runs: the one loop over steps, and what is done between its calls."""

from slt.running.forecast import Forecast, forecast
from slt.running.sample import sample

__all__ = ["Forecast", "forecast", "sample"]
