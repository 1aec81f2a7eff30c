"""Arithmetic on traces: what the draws say of the loss, with its error and a verdict on both."""

from slt.estimators.estimate import Estimate
from slt.estimators.llc import llc
from slt.estimators.verdict import Finding, Problem, Verdict

__all__ = ["Estimate", "Finding", "Problem", "Verdict", "llc"]
