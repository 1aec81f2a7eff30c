"""The public face: complete, lazy, and silent about no failure."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import slt

ROOT = Path(__file__).parents[1]
NAMES = {
    *("AUTO", "Diagonal", "Estimate", "Explanation", "Forecast", "FunctionalDimension", "Gradients", "HMC"),
    *("LocalPosterior", "MALA", "RLCT", "RMSprop", "SGLD", "SGNHT", "ScaleMoves", "Trace"),
    *("analytic", "degeneracy", "diagnostics", "errors", "observables", "plots", "testing", "toys"),
    *("estimate_llc", "explain", "forecast", "from_devinterp", "functional_dimension", "gaussian_loss", "llc"),
    *("sample", "sweep"),
}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `code`."""
    script = f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    modules = run.stdout.split()
    assert "slt" in modules
    return {name.partition(".")[0] for name in modules}


def test_import_slt_loads_nothing_heavy():
    heavy = {"torch", "arviz", "numpy", "scipy", "xarray", "matplotlib", "h5netcdf"}
    assert not heavy & loaded_by("import slt; dir(slt)")


@pytest.mark.parametrize("name", ["analytic", "errors", "plots", "RLCT", "Trace", "Estimate", "llc"])
def test_the_numpy_wing_loads_without_torch(name):
    assert not {"torch", "arviz"} & loaded_by(f"import slt; slt.{name}")


def test_toys_load_torch():
    assert "torch" in loaded_by("import slt; slt.toys"), "loaded_by cannot see torch"


def test_names():
    assert set(slt.__all__) == NAMES
    assert len(slt.__all__) == len(NAMES)
    assert set(dir(slt)) == NAMES | {"__version__"}


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(slt.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module for node in imports for alias in node.names}
    assert seen == {**dict.fromkeys(slt._MODULES, "slt"), **slt._NAMES}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_resolves(name):
    value = getattr(slt, name)
    assert getattr(value, "__name__", repr(value)) in (name, f"slt.{name}")
    assert getattr(slt, name) is value


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="'slt' has no attribute 'no_such_name'"):
        _ = slt.no_such_name
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from slt import no_such_name")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("raise RuntimeError('its own words')", RuntimeError, "its own words"),
        ("import slt_no_such_package", ModuleNotFoundError, "slt_no_such_package"),
        ("import math; math.no_such_function", ImportError, "no_such_function"),
    ],
)
@pytest.mark.parametrize("statement", ["import slt; slt.broken", "from slt import broken"])
def test_a_name_that_fails_to_import_says_why(tmp_path, monkeypatch, source, error, message, statement):
    (tmp_path / "slt_broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(slt._NAMES, "broken", "slt_broken")
    with pytest.raises(error, match=message):
        exec(statement)


def test_one_version():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert slt.__version__ == declared
    assert f"\nversion: {declared}\n" in (ROOT / "CITATION.cff").read_text()
