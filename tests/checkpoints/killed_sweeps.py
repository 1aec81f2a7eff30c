"""Sweeps in processes that kill themselves: `kill_and_finish`, and the script that it runs.

The script imports everything once and forks a process for each sweep: a kill costs no start.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import slt


@dataclass(frozen=True)
class Killed:
    """What became of a sweep that was killed again and again, and of its undisturbed twin."""

    signals: list[int]
    """How each process ended: the number of the signal, or 0."""
    kept: list[dict[str, list[int]]]
    """After each process, the checkpoints that the manifest calls done, each with inode and time of its trace."""
    finished: Path
    undisturbed: Path


def kill_and_finish(folder: Path, checkpoints: int, kills: list[tuple[str, float]]) -> Killed:
    """Run one sweep undisturbed, and one that is killed at each of `kills` and then left to finish.

    Args:
        folder: An empty folder.
        checkpoints: How many to make and estimate.
        kills: ("loss", evaluations of the loss, in units of those that one checkpoint takes) or ("disk", the
            how-manieth time that something is forced to the disk).

    Returns:
        What became of them.
    """
    # the package under test, wherever the one that is installed may lie
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(slt.__file__).parents[1])}
    command = [sys.executable, __file__, str(folder), str(checkpoints), json.dumps(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return Killed(**told, finished=folder / "killed", undisturbed=folder / "undisturbed")


def files_of(folder: Path) -> dict[str, Any]:
    """Return the content of every file; of the manifest all but the seconds, and the checksum that they are part of."""
    held: dict[str, Any] = {file.name: file.read_bytes() for file in folder.iterdir()}
    manifest = json.loads(held["sweep.json"])
    del manifest["checksum"]
    for entry in manifest["checkpoints"].values():
        del entry["seconds"]
    return {**held, "sweep.json": manifest}


def require_nothing_lost(killed: Killed) -> None:
    """Ask that every process was killed, that what was done stayed, and that all files are those of the twin."""
    assert set(killed.signals) == {signal.SIGKILL}
    for before, after in zip(killed.kept, killed.kept[1:], strict=False):
        assert before.items() <= after.items()  # what was done is there, and was not written again
    assert files_of(killed.finished) == files_of(killed.undisturbed)


class Fuse:
    """Kills its process at the `at`-th call; None never does."""

    def __init__(self, at: int | None) -> None:
        self.at, self.calls = at, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def _main(folder: Path, checkpoints: int, kills: list[tuple[str, float]]) -> None:
    # imported before the forks; torch runs in the children alone
    import arviz  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import torch
    from torch import nn

    from slt import _store

    assert slt.sweep  # loads it

    def factory() -> nn.Module:
        return nn.Linear(3, 2)

    def sweep(out: Path, on_loss: Fuse, on_disk: Fuse) -> None:
        force = _store._force_to_disk

        def force_or_die(path: Path) -> None:
            if ".running" not in str(path):  # kills inside a saved run are test_saved.py's
                on_disk()
            force(path)

        def loss(model: nn.Module, batch: Any) -> torch.Tensor:
            on_loss()
            return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")

        _store._force_to_disk = force_or_die
        generator = torch.Generator().manual_seed(0)
        data = torch.randn(40, 3, generator=generator), torch.randint(2, (40,), generator=generator)
        # one chain: how several are evaluated is chosen by the clock, and the two ways differ by rounding
        options = {"chains": 1, "budget": slt.Gradients(300), "target_relative_error": 1e-9, "progress": False}
        slt.sweep(f"{folder}/*.pt", factory, data, loss, save_to=out, **options)

    def make() -> None:
        for step in range(checkpoints):
            torch.manual_seed(step)
            torch.save(factory().state_dict(), folder / f"step-{step:03d}.pt")
        count = Fuse(None)
        sweep(folder / "undisturbed", count, Fuse(None))
        (folder / "calls").write_text(str(count.calls))

    assert _forked(make) == 0
    calls = int((folder / "calls").read_text()) / checkpoints
    killed, signals, kept = folder / "killed", [], []
    for kind, at in kills:
        fuses = (Fuse(round(at * calls)), Fuse(None)) if kind == "loss" else (Fuse(None), Fuse(int(at)))
        signals.append(_forked(partial(sweep, killed, *fuses)))
        kept.append(_kept(killed))
    assert _forked(partial(sweep, killed, Fuse(None), Fuse(None))) == 0
    kept.append(_kept(killed))
    print(json.dumps({"signals": signals, "kept": kept}))


def _forked(run: Callable[[], None]) -> int:
    """Run in a child; return the signal that ended it, 0 if none did."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the sweep failed"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _kept(folder: Path) -> dict[str, list[int]]:
    manifest = folder / "sweep.json"
    entries = json.loads(manifest.read_text())["checkpoints"] if manifest.exists() else {}
    traces = {name: (folder / f"{name}.nc").stat() for name in entries}
    return {name: [there.st_ino, there.st_mtime_ns] for name, there in traces.items()}


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
