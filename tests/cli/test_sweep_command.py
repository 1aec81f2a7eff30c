from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import slt
from slt.cli.record import plain
from tests.cli.conftest import strict_json

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--model", "own:small", "--data", "own:pairs", "--loss", "cross_entropy", "--quiet")
FAST = ("--target=0.5", "--budget=0.5", "--chains=2")


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))


@pytest.fixture
def checkpoints(project: Path) -> Path:
    torch.manual_seed(0)
    (project / "ckpts").mkdir()
    for step in (2, 10):
        save_file(small().state_dict(), project / "ckpts" / f"step-{step}.safetensors")
    return project / "ckpts"


def test_a_row_for_each_checkpoint_and_everything_saved(checkpoints: Path, slt_command: Run) -> None:
    code, out, err = slt_command("sweep", "ckpts/*.safetensors", *SMALL, *FAST, "--save-to=out", "--json")
    assert err == ""
    found = strict_json(out)
    assert [(row["name"], row["step"], row["error"]) for row in found["checkpoints"]] == [
        ("step-2", 2, None),
        ("step-10", 10, None),
    ]
    for row in found["checkpoints"]:
        trace = slt.Trace.load(checkpoints.parent / "out" / f"{row['name']}.nc")
        assert slt.llc(trace).value == row["estimate"]["llc"]
        assert row["estimate"]["chains"] == 2
    good = [row["estimate"]["verdict"]["ok"] for row in found["checkpoints"]]
    assert found["ok"] == all(good)
    assert code == (0 if all(good) else 1)
    assert (checkpoints.parent / "out" / "sweep.csv").is_file()


def test_several_words_are_several_files(checkpoints: Path, slt_command: Run) -> None:
    files = ("ckpts/step-10.safetensors", "ckpts/step-2.safetensors")
    _, out, _ = slt_command("sweep", *files, *SMALL, *FAST)
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["checkpoint", "LLC"]
    assert [line.split()[0] for line in lines[1:]] == ["step-10", "step-2"]


def test_good_verdicts_are_exit_code_0_and_a_failed_checkpoint_1(project: Path, slt_command: Run) -> None:
    words = ("--model=own:model", "--data=own:data", "--loss=own:loss", "--localization=1", "--target=0.1", "--quiet")
    code, out, _ = slt_command("sweep", "w.pt", *words)
    assert code == 0
    assert out.splitlines()[1].endswith("reliable")
    torch.save(nn.Linear(7, 7).state_dict(), project / "wrong.pt")
    code, out, err = slt_command("sweep", "w*.pt", *words, "--json")
    assert (code, err) == (1, "")
    failed, made = sorted(strict_json(out)["checkpoints"], key=lambda row: row["name"], reverse=True)
    assert failed["estimate"] is None
    assert failed["error"]["type"] == "CheckpointError"
    assert made["estimate"]["verdict"]["ok"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere/*.pt",), "no checkpoint matches 'nowhere/*.pt'"),
        (("ckpts/step-2.safetensors", "gone.pt"), "1 of 2 checkpoints do not exist: gone.pt"),
        (("ckpts/*", "--model=own:no_model"), "must return a torch.nn.Module, got dict"),
        (("ckpts/*", "--loss=unknown"), "loss must be one of"),
        (("ckpts/*", "--nbeta=0"), "nbeta must be positive"),
        (("ckpts/*", "--save-to=own.py"), "cannot be created as a folder"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_line(
    words: tuple[str, ...], message: str, checkpoints: Path, slt_command: Run
) -> None:
    files = [word for word in words if not word.startswith("--")]
    code, out, err = slt_command("sweep", *files, *SMALL, *words[len(files) :])
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("slt sweep: ")
    assert message in err


def test_numbers_that_are_none_become_null_at_any_depth() -> None:
    tensor_like = {"a": [torch.tensor(2.0).numpy(), {"b": float("nan")}], "c": float("-inf"), "d": None, "e": 3}
    assert plain(tensor_like) == {"a": [2.0, {"b": None}], "c": None, "d": None, "e": 3}
