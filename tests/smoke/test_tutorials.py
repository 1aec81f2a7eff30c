"""Each tutorial runs from its first cell to its last, which checks itself; what is stored is one such run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

TUTORIALS = Path(__file__).parents[2] / "tutorials"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))
_MACHINE_PATH = re.compile(r"(?<![\w.])(/(home|mnt|opt|root|srv|tmp|usr|var|work|Users)/|[A-Z]:\\)")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_no_tutorial_is_missing() -> None:
    assert [path.name for path in NOTEBOOKS] == [
        "01-first-llc.ipynb",
        "02-your-checkpoints.ipynb",
        "03-write-your-own-sampler.ipynb",
        "04-finite-n.ipynb",
        "05-deep-linear-networks.ipynb",
        "06-where-does-the-degeneracy-come-from.ipynb",
        "07-sharpness-is-not-complexity.ipynb",
        "08-choosing-nothing.ipynb",
    ]


@pytest.mark.smoke
@pytest.mark.filterwarnings("default")  # what the Jupyter packages warn of is theirs
@each_notebook
def test_a_tutorial_runs_and_says_nothing_on_stderr(path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": TUTORIALS}}).execute()
    assert [text for stream, text in _printed(notebook.cells) if stream == "stderr"] == []


@each_notebook
def test_a_tutorial_ends_by_checking_itself(path: Path) -> None:
    last = json.loads(path.read_text(encoding="utf-8"))["cells"][-1]
    assert last["cell_type"] == "code"
    assert re.search(r"^ *assert abs\(.*\) < 4", "".join(last["source"]), re.MULTILINE)


@each_notebook
def test_stored_outputs_are_of_one_run_small_and_of_no_machine(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    printed = _printed(cells)
    assert {stream for stream, _ in printed} == {"stdout"}
    assert not [text for _, text in printed if _MACHINE_PATH.search(text)]
    assert path.stat().st_size < 200_000


def _printed(cells: list[Any]) -> list[tuple[str, str]]:
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [(output["name"], "".join(output["text"])) for output in outputs if output["output_type"] == "stream"]
