"""Proof that a sampler, of slt or of its user, does what a sampler must."""

from slt.testing.contract import CHECKS, check_sampler, require_caught
from slt.testing.report import Check, Report
from slt.testing.wells import Law, Well, langevin_law

__all__ = ["CHECKS", "Check", "Law", "Report", "Well", "check_sampler", "langevin_law", "require_caught"]
