"""How good estimates are where the answer is known: samplers and estimates measured against exact values."""

from slt.diagnostics.bench import bench, standard_toys
from slt.diagnostics.benchmark import Program, benchmark_sampler
from slt.diagnostics.cases import Case, standard_cases
from slt.diagnostics.compare import Compared, Comparison, compare
from slt.diagnostics.known import Known, known, known_of
from slt.diagnostics.order import order_preserved
from slt.diagnostics.references import Reference, reference, references
from slt.diagnostics.result import Benchmark, Row, Run

__all__ = [
    "Benchmark",
    "Case",
    "Compared",
    "Comparison",
    "Known",
    "Program",
    "Reference",
    "Row",
    "Run",
    "bench",
    "benchmark_sampler",
    "compare",
    "known",
    "known_of",
    "order_preserved",
    "reference",
    "references",
    "standard_cases",
    "standard_toys",
]
