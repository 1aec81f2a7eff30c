"""Runs: the one loop over steps, and what is done between its calls."""

from slt.running.forecast import Forecast, forecast
from slt.running.sample import sample
from slt.running.saved import PLAN_FILE

__all__ = ["PLAN_FILE", "Forecast", "forecast", "sample"]
