from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from tests.cli.conftest import strict_json

Run = Callable[..., tuple[int, str, str]]
PROBLEM = ("--model", "own:small", "--data", "own:pairs", "--loss", "cross_entropy", "--checkpoint", "small.pt")


def save_small(project: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    torch.save(net.state_dict(), project / "small.pt")


def test_the_softmax_head_is_found_and_drawn(project: Path, slt_command: Run) -> None:
    save_small(project)
    code, out, err = slt_command("degeneracy", *PROBLEM, "--json", "--plot", "nulls.png")
    assert (code, err) == (0, "")
    found = strict_json(out)
    assert (found["dimension"], found["nullity"], found["function"]) == (14, 3, "log_probs")  # d_in + 1
    assert (project / "nulls.png").stat().st_size > 10_000


def test_people_get_the_table(project: Path, slt_command: Run) -> None:
    save_small(project)
    code, out, _ = slt_command("degeneracy", *PROBLEM, "--function", "logits", "--parameters", "0", "2.bias")
    assert code == 0
    assert out.startswith("Of 10 weights 0 directions leave the logits as they are.")


def test_what_cannot_be_used_is_exit_code_2(project: Path, slt_command: Run) -> None:
    save_small(project)
    code, out, err = slt_command("degeneracy", *PROBLEM, "--plot", "no/such/folder.png")
    assert (code, out) == (2, "")
    assert "--plot no/such/folder.png cannot be written" in err
    assert slt_command("degeneracy", *PROBLEM, "--parameters", "nothing")[0] == 2
