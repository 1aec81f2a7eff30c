"""Nothing that estimates reads an exact answer; the import contracts keep it from importing one."""

import ast
from pathlib import Path

import pytest

import slt

ROOT = Path(slt.__file__).parent
BLIND = (
    "api.py",
    "checkpoints",
    "estimators",
    "observables.py",
    "posterior",
    "problem",
    "running",
    "samplers",
    "trace.py",
)


def files() -> list[Path]:
    return [
        file
        for name in BLIND
        for file in ([ROOT / name] if name.endswith(".py") else sorted((ROOT / name).rglob("*.py")))
    ]


def read_attributes(source: str) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_reads_no_exact_answer(file: Path) -> None:
    assert not {"exact", "rlct", "hessian_rank", "formula"} & read_attributes(file.read_text(encoding="utf-8"))


def test_one_that_did_would_be_seen() -> None:
    assert "exact" in read_attributes("estimate = estimate + 0.9 * (toy.exact.value - estimate)")
    assert len(files()) > 40
