"""Runs that last: killed anywhere, the same call ends with the same bits."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import slt
from slt.errors import Interrupted, ResumeError, SaveError, SettingsError
from slt.running import saved
from slt.running.documents import read_document, write_document
from tests.running.saved_job import DRAWS, SAMPLERS, Loss, run


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def job(folder: Path, sampler: str, die_at: int) -> tuple[int, int]:
    """Run in a process of its own; return (exit code, evaluations of the loss)."""
    command = [sys.executable, "-m", "tests.running.saved_job", str(folder), sampler, str(die_at)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode in (0, -9), done.stderr
    return done.returncode, int(done.stdout or -1)


def kill_and_resume(tmp_path: Path, sampler: str, shares: list[float]) -> None:
    code, calls = job(tmp_path / "calm", sampler, 0)
    assert code == 0
    calm = files(tmp_path / "calm")
    for share in shares:
        folder = tmp_path / f"killed at {share:.3f}"
        code, _ = job(folder, sampler, max(1, round(share * calls)))
        assert code == -9
        assert not list(folder.rglob("*.tmp")) or not (folder / "trace.nc").exists()
        assert job(folder, sampler, 0)[0] == 0
        after = {name: content for name, content in files(folder).items() if not name.endswith(".tmp")}
        assert after == calm


@pytest.mark.parametrize("sampler", list(SAMPLERS)[:1])
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, sampler: str) -> None:
    kill_and_resume(tmp_path, sampler, [0.6])


@pytest.mark.exact
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_many_kills(tmp_path: Path, sampler: str) -> None:
    """Ten a sampler; with the sweeps' twenty, fifty kills."""
    kill_and_resume(tmp_path, sampler, list(np.random.default_rng(len(sampler)).uniform(0.02, 0.99, 10)))


@pytest.mark.exact
def test_several_kills_of_one_run(tmp_path: Path) -> None:
    _, calls = job(tmp_path / "calm", "hmc", 0)
    for _ in range(4):
        assert job(tmp_path / "killed", "hmc", calls // 2)[0] in (0, -9)
    assert job(tmp_path / "killed", "hmc", 0)[0] == 0
    assert {n: c for n, c in files(tmp_path / "killed").items() if ".tmp" not in n} == files(tmp_path / "calm")


def test_a_resume_repeats_one_save_interval_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a save after every round, what a death in the loss cost is that round, and the look at the observables."""
    monkeypatch.setattr(saved, "_SHARE", 1e9)
    monkeypatch.setattr("slt.running.session._ROUND_DRAWS", 5)
    _, whole = run(str(tmp_path / "calm"), "hmc", 0)

    class Dead(Exception):
        pass

    def die(self: Loss, model: object, batch: object) -> torch.Tensor:
        if self.calls + 1 == self.die_at:
            raise Dead
        return call(self, model, batch)

    call = Loss.__call__
    monkeypatch.setattr(Loss, "__call__", die)
    at = round(0.7 * whole.calls)
    with pytest.raises(Dead):
        run(str(tmp_path / "dead"), "hmc", at)
    _, rest = run(str(tmp_path / "dead"), "hmc", 0)
    evaluations_of_a_round = 5 * 2 * 3  # draws x thin x at most three leapfrogs
    binding = 30  # the check of the evaluator against the module
    assert rest.calls <= whole.calls - at + evaluations_of_a_round + binding
    assert files(tmp_path / "dead") == files(tmp_path / "calm")


def test_more_draws_extend_a_run(tmp_path: Path) -> None:
    run(str(tmp_path / "a"), "hmc", 0, draws=20)
    trace, loss = run(str(tmp_path / "a"), "hmc", 0)
    run(str(tmp_path / "b"), "hmc", 0)
    assert trace.draws == DRAWS
    assert files(tmp_path / "a") == files(tmp_path / "b")
    again, idle = run(str(tmp_path / "a"), "hmc", 0)
    assert idle.calls < loss.calls / 2
    np.testing.assert_array_equal(again.get("posterior", "excess"), trace.get("posterior", "excess"))


def test_a_saved_run_equals_one_in_memory(tmp_path: Path) -> None:
    trace, _ = run(str(tmp_path / "a"), "sgld", 0)
    loaded = slt.Trace.load(tmp_path / "a")
    generator = torch.Generator().manual_seed(0)
    data = (1 + torch.rand(50, 2, generator=generator),)
    model = type("M", (torch.nn.Module,), {})()
    model.w = torch.nn.Parameter(torch.tensor([0.7, -0.3]))
    posterior = slt.LocalPosterior(model, data, Loss(0), localization=1.0, batch_size=10)
    observe = {"distance": slt.observables.distance(), "weights": slt.observables.weights()}
    settings = {"chains": 3, "draws": DRAWS, "warmup": 40, "thin": 2, "seed": 4, "progress": False}
    memory = slt.sample(posterior, slt.SGLD(), observe=observe, **settings)
    for group in ("posterior", "sample_stats", "observables"):
        assert loaded.names(group) == trace.names(group)
        for name in loaded.names(group):
            np.testing.assert_array_equal(loaded.get(group, name), memory.get(group, name))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda kw: kw.update(seed=5), "seed"),
        (lambda kw: kw.update(warmup=30), "warmup"),
        (lambda kw: kw.update(chains=2), "chains"),
        (lambda kw: kw.update(thin=3), "thin"),
        (lambda kw: kw.update(sampler=slt.HMC()), "sampler"),
        (lambda kw: kw.update(observe={"w": slt.observables.weights()}), "observables"),
        (lambda kw: kw.update(nbeta=3.0), "nbeta"),
        (lambda kw: kw.update(localization=2.0), "localization"),
        (lambda kw: kw.update(shift=1.0), "weights"),
        (lambda kw: kw.update(scale=2.0), "data, .*loss"),
    ],
)
def test_a_folder_of_another_run_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, object]], None], named: str
) -> None:
    def call(kw: dict[str, object]) -> None:
        model = torch.nn.Linear(2, 1)
        with torch.no_grad():
            model.weight.fill_(0.5 + kw["shift"])
            model.bias.fill_(0.1)
        x = torch.linspace(-1, 1, 40).reshape(20, 2)
        posterior = slt.LocalPosterior(
            model, (x, kw["scale"] * x[:, :1]), "mse", nbeta=kw["nbeta"], localization=kw["localization"]
        )
        settings = {name: kw[name] for name in ("chains", "warmup", "thin", "seed", "observe")}
        slt.sample(posterior, kw["sampler"], draws=4, progress=False, save_to=tmp_path / "run", **settings)

    settings = {
        **{"chains": 1, "warmup": 5, "thin": 1, "seed": 0, "observe": None, "sampler": slt.HMC(leapfrogs=1)},
        **{"nbeta": 7.0, "localization": 1.0, "shift": 0.0, "scale": 1.0},
    }
    call(settings)
    change(settings)
    with pytest.raises(ResumeError, match=f"holds a run with other .*{named}"):
        call(settings)


def damage(name: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])

    return cut


@pytest.mark.parametrize("name", ["run.json", "state.npz", "draws/excess.npy", "observables/weights.npy"])
def test_a_damaged_file_is_named_and_nothing_is_lost(tmp_path: Path, name: str) -> None:
    run(str(tmp_path / "a"), "hmc", 0)
    damage(name)(tmp_path / "a")
    before = files(tmp_path / "a")
    with pytest.raises(ResumeError, match=Path(name).name):
        run(str(tmp_path / "a"), "hmc", 0)
    assert files(tmp_path / "a") == before


def test_a_newer_format_and_a_foreign_folder_are_refused(tmp_path: Path) -> None:
    run(str(tmp_path / "a"), "hmc", 0)
    manifest = json.loads((tmp_path / "a" / "run.json").read_text())
    (tmp_path / "a" / "run.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ResumeError, match="format 99"):
        run(str(tmp_path / "a"), "hmc", 0)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("mine")
    with pytest.raises(ResumeError, match="is not empty and holds no run"):
        run(str(tmp_path / "b"), "hmc", 0)
    assert files(tmp_path / "b") == {"thesis.tex": b"mine"}


def test_a_full_disk_is_told_and_the_draws_come_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = saved.atomic_write

    def full(path: Path, content: object) -> None:
        if Path(path).name == "state.npz" and (tmp_path / "a" / "draws" / "excess.npy").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(saved, "atomic_write", full)
        with pytest.raises(SaveError, match=r"cannot be written: .*No space left") as refused:
            run(str(tmp_path / "a"), "hmc", 0)
    assert refused.value.trace.draws > 0
    run(str(tmp_path / "a"), "hmc", 0)
    run(str(tmp_path / "b"), "hmc", 0)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_ctrl_c_says_where_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Loss.__call__

    def interrupt(self: Loss, model: object, batch: object) -> torch.Tensor:
        if self.calls == 500:
            self.calls += 1
            raise KeyboardInterrupt
        return call(self, model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Loss, "__call__", interrupt)
        with pytest.raises(Interrupted, match="the same call resumes from"):
            run(str(tmp_path / "a"), "hmc", 0, draws=300)
    run(str(tmp_path / "a"), "hmc", 0, draws=300)
    run(str(tmp_path / "b"), "hmc", 0, draws=300)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_another_thread_count_is_noted(tmp_path: Path) -> None:
    run(str(tmp_path / "a"), "hmc", 0, draws=10)
    held = read_document(tmp_path / "a" / "run.json", 2)
    held["environment"]["threads"] = 64
    write_document(tmp_path / "a" / "run.json", 2, held)
    trace, _ = run(str(tmp_path / "a"), "hmc", 0, draws=20)
    assert any("threads 64 -> " in note for note in trace.settings["notes"])


def test_until_is_asked_again_after_a_resume(tmp_path: Path) -> None:
    toy = slt.toys.quadratic(2)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    settings = {"chains": 2, "draws": 500, "warmup": 10, "progress": False, "save_to": tmp_path / "a"}
    first = slt.sample(posterior, slt.HMC(), until=lambda trace: trace.draws >= 28, **settings)
    assert first.draws == 28
    again = slt.sample(posterior, slt.HMC(), until=lambda trace: trace.draws >= 28, **settings)
    assert again.draws == 28
    longer = slt.sample(posterior, slt.HMC(), until=lambda trace: trace.draws >= 33, **settings)
    assert longer.draws == 33


@pytest.mark.parametrize("name", ["", "a/b", "..", 3])
def test_names_of_observables_are_checked(name: object) -> None:
    toy = slt.toys.quadratic(2)
    posterior = slt.LocalPosterior(toy.model, toy.data, toy.loss, localization=1.0)
    with pytest.raises(SettingsError, match="an observable's name"):
        slt.sample(posterior, slt.HMC(), observe={name: slt.observables.distance()}, progress=False)
