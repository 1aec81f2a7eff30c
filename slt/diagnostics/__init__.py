"""How good estimates are where the answer is known: samplers measured against exact values."""

from slt.diagnostics.benchmark import Program, benchmark_sampler
from slt.diagnostics.cases import Case, standard_cases
from slt.diagnostics.result import Benchmark, Row, Run

__all__ = ["Benchmark", "Case", "Program", "Row", "Run", "benchmark_sampler", "standard_cases"]
