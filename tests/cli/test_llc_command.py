import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import slt
from slt.analytic.finite import quadratic_energy
from slt.cli import llc as llc_file
from slt.errors import Interrupted, NoDrawsError
from tests.cli.conftest import strict_json

Run = Callable[..., tuple[int, str, str]]
QUADRATIC = ("--model", "own:model", "--data", "own:data", "--loss", "own:loss", "--checkpoint", "w.pt", "--quiet")


def test_the_estimate_is_the_exact_one_and_the_json_tells_all_of_it(project: Path, slt_command: Run) -> None:
    """Four errors are 7 % of the value; the default nbeta would raise it by 21 %, localization 1 by 35 %."""
    code, out, err = slt_command(
        "llc", *QUADRATIC, "--json", "--nbeta=50", "--localization=20", "--target=0.03", "--seed=3", "--chains=8"
    )
    assert (code, err) == (0, "")
    found = strict_json(out)
    exact = quadratic_energy([4.0, 1.0, 1.0, 0.5], nbeta=50.0, localization=20.0)
    assert found["mcse"] < 0.02 * exact
    assert abs(found["llc"] - exact) < 4 * found["mcse"]
    assert found["interval"]["low"] < found["llc"] < found["interval"]["high"]
    assert found["verdict"]["ok"]
    assert not found["verdict"]["problems"]
    assert {note["kind"] for note in found["verdict"]["notes"]} >= {"remark"}
    assert (found["nbeta"], found["n"], found["dimension"], found["chains"]) == (50.0, 1000, 4, 8)
    assert len(found["per_chain"]) == len(found["alive"]) == 8
    assert found["settings"]["seed"] == 3
    assert found["settings"]["localization"] == 20.0
    assert found["settings"]["versions"]["slt"] == slt.__version__
    assert len(found["tuning"]["step_size"]) == 8


def test_people_get_the_print_and_the_draws_are_saved(project: Path, slt_command: Run) -> None:
    code, out, _ = slt_command("llc", *QUADRATIC, "--localization=1", "--target=0.1", "--save-to", "out/here")
    assert code == 0
    loaded = slt.llc(slt.Trace.load(project / "out" / "here" / "trace.nc"))
    assert out == f"{loaded}\n"


def test_the_sampler_and_its_rows_can_be_chosen(project: Path, slt_command: Run) -> None:
    words = ("--sampler=sgld", "--batch-size=100", "--budget=0.5", "--localization=1", "--json")
    _, out, _ = slt_command("llc", *QUADRATIC, *words)
    settings = strict_json(out)["settings"]
    assert settings["sampler"].startswith("SGLD(")
    assert settings["batch_size"] == 100


def test_a_bad_verdict_is_exit_code_1(project: Path, slt_command: Run) -> None:
    code, out, err = slt_command("llc", *QUADRATIC, "--localization=0", "--target=0.2", "--budget=2", "--json")
    assert (code, err) == (1, "")
    kinds = [problem["kind"] for problem in strict_json(out)["verdict"]["problems"]]
    assert "localization_zero" in kinds  # beside what a busy machine leaves undone in two seconds
    assert strict_json(out)["sensitivity"]["value"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--nbeta=-1",), "nbeta must be positive"),
        (("--target=nan",), "target_relative_error must be a share"),
        (("--budget=0",), "budget must be positive"),
        (("--chains=0",), "chains must be"),
        (("--localization=near",), "invalid number or auto value: 'near'"),
        (("--sampler=nuts",), "invalid choice: 'nuts'"),
        (("--checkpoint=gone.pt",), "checkpoint gone.pt does not exist"),
        (("--checkpoint=own.py",), "does not hold plain weights"),
        (("--model=own:small",), "does not fit Sequential: Error(s) in loading state_dict"),
        (("--model=own:no_model",), "--model own:no_model must return a torch.nn.Module, got dict"),
        (("--model=own:number",), "must be a function, got int"),
        (("--model=own:missing",), "--model own:missing: module 'own' has no attribute 'missing'"),
        (("--model=nowhere.at_all:model",), "No module named 'nowhere'"),
        (("--model=own",), "--model must be package.module:function, got 'own'"),
        (("--model=.own:model",), "--model must be package.module:function"),
        (("--loss=crossentropy",), "loss must be one of cross_entropy"),
        (("--loss=gaussian:wide",), "must be a positive number"),
        (("--save-to=own.py",), "--save-to own.py cannot be created as a folder"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_line(
    words: tuple[str, ...], message: str, project: Path, slt_command: Run
) -> None:
    code, out, err = slt_command("llc", *QUADRATIC, *words)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert message in lines[-1]
    if not lines[0].startswith("usage:"):  # argparse tells the usage first
        assert len(lines) == 1
        assert lines[0].startswith("slt llc: ")


def test_exceptions_of_the_users_code_propagate(project: Path) -> None:
    from slt.cli import main

    with pytest.raises(ZeroDivisionError, match="mine"):
        main(["llc", *QUADRATIC, "--data=own:fails"])
    (project / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError, match="division"):
        main(["llc", *QUADRATIC, "--model=broken:model"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoDrawsError("no chain\nis left."), 1),
        (Interrupted("stopped.", None), 130),
        (KeyboardInterrupt("interrupted."), 130),
    ],
)
def test_ends_without_an_estimate(
    error: BaseException, code: int, project: Path, slt_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(llc_file, "estimate_llc", refuse)
    assert slt_command("llc", *QUADRATIC) == (code, "", f"slt llc: {' '.join(str(error).split())}\n")


def test_the_installed_command_finds_the_current_folder(project: Path) -> None:
    """The script's own folder, not the current one, heads sys.path there."""
    command = [str(Path(sys.executable).parent / "slt"), "llc", *QUADRATIC, "--localization=1", "--target=0.2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("llc ")


def test_a_reader_that_leaves_ends_the_command_quietly(project: Path) -> None:
    program = "import sys; from slt.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "exact", "deep-linear", "--widths", "5", "5", "5"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
