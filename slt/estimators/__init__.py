"""Arithmetic on traces: estimates from the draws, with errors and verdicts."""

from slt.estimators.estimate import Estimate
from slt.estimators.llc import llc
from slt.estimators.verdict import Finding, Problem, Verdict

__all__ = ["Estimate", "Finding", "Problem", "Verdict", "llc"]
