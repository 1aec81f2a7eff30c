"""What lies in a run folder is checked whole before any work, and read as data: nothing in it is run."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slt
from slt.errors import ResumeError, SettingsError
from slt.running import saved
from slt.running.identity import identify_by_baseline
from slt.samplers import Info
from tests.running.small_runs import files, posterior, replace_member, rewrite_state, sample

COUNTED = ["draws/excess.npy", "draws/diverging.npy", "observables/norm.npy"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    sample(tmp_path / "run")
    return tmp_path / "run"


def refused(run: Path, match: str, draws: int = 6) -> None:
    """Resuming is refused, nothing is changed, and nobody is told to throw draws away."""
    before = files(run)
    with pytest.raises(ResumeError, match=match) as error:
        sample(run, draws)
    assert "remove" not in str(error.value)
    assert files(run) == before


def test_a_lost_state_is_named_and_the_draws_stay(run: Path) -> None:
    (run / "state.npz").unlink()
    refused(run, "state.npz is missing, .* the draws beside it, which numpy.load reads")


@pytest.mark.parametrize("name", COUNTED)
def test_a_lost_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    refused(run, Path(name).name)


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("place", [0, 300, -1])
def test_a_changed_byte_is_seen(run: Path, name: str, place: int) -> None:
    content = bytearray((run / name).read_bytes())
    content[place if len(content) > 300 or place < 0 else 256] ^= 1
    (run / name).write_bytes(bytes(content))
    refused(run, f"{Path(name).name} is damaged")


def test_what_a_kill_left_behind_the_draws_is_cut_off(run: Path, tmp_path: Path) -> None:
    sample(tmp_path / "calm", 9)
    for name in COUNTED:
        with (run / name).open("ab") as file:
            file.write(b"left behind")
    sample(run, 9)
    assert files(run) == files(tmp_path / "calm")


def test_a_file_that_the_run_did_not_write_is_named(run: Path) -> None:
    np.save(run / "observables" / "other.npy", np.zeros(3))
    refused(run, "holds observables/other.npy, which the run did not write")


@pytest.mark.parametrize(
    ("kind", "argument"), [("slt._store:os.system", "touch pwned"), ("builtins:print", "x"), ("slt.trace:Trace", "x")]
)
@pytest.mark.parametrize("form", [1, 2])
def test_a_state_runs_no_code(
    run: Path, kind: str, argument: str, form: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def change(tree: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        tree["runs"][0]["fields"][2] = {"kind": kind, "fields": [{"plain": argument}]}
        if form == 1:
            del tree["format"]

    rewrite_state(run, change)
    refused(run, f"{kind}.*does not declare")
    assert not (tmp_path / "pwned").exists()


def set_field(*path: int | str, to: Any) -> Callable[[dict[str, Any], dict[str, np.ndarray]], None]:
    def change(tree: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        held = tree
        for part in path[:-1]:
            held = held[part]
        held[path[-1]] = to

    return change


def replaced(key: str, array: np.ndarray) -> Callable[[dict[str, Any], dict[str, np.ndarray]], None]:
    return lambda tree, arrays: arrays.update({key: array})


@pytest.mark.parametrize(
    "change",
    [
        set_field("runs", 0, "fields", 0, to={"plain": 11}),
        set_field("runs", 0, "fields", 0, to={"plain": True}),
        set_field("runs", 0, "fields", 1, to={"plain": 1.0}),
        set_field("runs", 0, "fields", 2, to={"plain": None}),
        set_field("runs", 0, "fields", 2, "fields", 0, to={"leaves": {}}),
        set_field("runs", 0, "fields", 2, "fields", to=[]),
        set_field("runs", 0, to={"array": "a0", "device": "cpu"}),
        set_field("runs", 0, to=7),
        set_field("runs", to=[]),
        set_field("drawn", to=5),
        set_field("drawn", to=-1),
        set_field("warmed", to=10**30),
        set_field("files", to={}),
        set_field("felt", to=None),  # its draws are there
        set_field("felt", to={"plain": 1}),
        set_field("felt", "kind", to="slt._store:os.system"),
        set_field("felt", "fields", 0, to={"leaves": {}}),
        set_field("felt", "fields", 1, to={"plain": 1}),
        set_field("felt", "fields", 1, to={"array": "a0", "device": "cpu"}),
        set_field("files", "draws/excess", "row", to=[10**13]),
        replaced("a1", np.zeros((2, 7), np.float32)),
        replaced("a1", np.zeros((2, 3), np.int64)),
        replaced("a1", np.array("text")),
        replaced("a0", np.zeros(3)),
    ],
)
def test_a_state_that_is_not_what_the_sampler_declares_is_refused(run: Path, change: Any) -> None:
    rewrite_state(run, change)
    refused(run, "is damaged", 9)


def huge() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    return buffer.getvalue()


def test_sizes_that_are_claimed_take_no_memory(run: Path) -> None:
    replace_member(run, "a1.npy", huge())
    refused(run, "it holds 0 bytes of numbers, and claims 80000000000000")


def test_a_compressed_state_is_refused(run: Path) -> None:
    rewrite_state(run, lambda tree, arrays: arrays.update(a1=np.zeros(10**6)), compressed=True)
    refused(run, "compressed")


def test_draws_that_claim_to_be_many_take_no_memory(run: Path) -> None:
    (run / "draws" / "excess.npy").write_bytes(huge())
    refused(run, "excess.npy is damaged")


@pytest.mark.parametrize("text", ["[" * 10**5, '{"format": "2"}', '{"format": true}', "7", '{"a": NaN', "\xff"])
@pytest.mark.parametrize("name", ["run.json", "state.npz"])
def test_a_text_that_is_none_is_named(run: Path, name: str, text: str) -> None:
    if name == "run.json":
        (run / name).write_bytes(text.encode("latin1"))
    else:
        buffer = io.BytesIO()
        np.save(buffer, np.array(text))
        replace_member(run, "tree.npy", buffer.getvalue())
    refused(run, f"{name} is damaged")


def test_a_state_of_another_device_goes_to_the_models(run: Path, tmp_path: Path) -> None:
    sample(tmp_path / "calm", 9)

    def moved(tree: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        text = json.dumps(tree["runs"]).replace('"device": "cpu"', '"device": "cuda:0"')
        tree["runs"] = json.loads(text)

    rewrite_state(run, moved)
    held = saved.read_document(run / "run.json", 2)
    held["environment"]["device"] = "cuda:0"
    saved.write_document(run / "run.json", 2, held)
    trace = sample(run, 9)
    assert any("device cuda:0 -> cpu" in note for note in trace.settings["notes"])
    for name in ("excess", "distance"):
        calm = np.load(tmp_path / "calm" / "draws" / f"{name}.npy")
        np.testing.assert_array_equal(np.load(run / "draws" / f"{name}.npy"), calm)


def as_format_1(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a run as it was written before there were checksums; what it is known by is taken from a resume."""
    held = saved.read_document(run / "run.json", 2)
    taken = {}
    with monkeypatch.context() as patch:
        patch.setattr(saved, "identify", lambda *given: taken.setdefault("exact", identify_by_baseline(*given)))
        with pytest.raises(ResumeError):
            sample(run)
    environment = {k: v for k, v in held["environment"].items() if k not in ("processor", "device")}
    old = {"format": 1, "slt": "0.1.0", "identity": taken["exact"].fingerprints, "environment": environment}
    (run / "run.json").write_text(json.dumps(old))

    def without(tree: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        for name in ("format", "files", "slt"):
            del tree[name]

    rewrite_state(run, without)


def test_a_run_of_format_1_goes_on_with_a_note(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(tmp_path / "calm", 9)
    as_format_1(run, monkeypatch)
    trace = sample(run, 9)
    assert any("known by the losses at w* alone" in note for note in trace.settings["notes"])
    now, calm = files(run), files(tmp_path / "calm")
    assert {k: v for k, v in now.items() if "draws/" in k} == {k: v for k, v in calm.items() if "draws/" in k}
    assert now["state.npz"] == calm["state.npz"]


@pytest.mark.parametrize("name", COUNTED)
def test_a_lost_file_of_format_1_is_named(run: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    as_format_1(run, monkeypatch)
    (run / name).unlink()
    refused(run, Path(name).name)


class Undeclared(slt.HMC):
    def step(self, *given):
        return super().step(*given)


class Unfit(slt.HMC):
    def init(self, *given) -> tuple[Any, Any, None]:
        return super().init(*given)

    def step(self, *given) -> tuple[Any, Info]:
        return super().step(*given)


@pytest.mark.parametrize("sampler", [Undeclared(leapfrogs=1), Unfit(leapfrogs=1)])
def test_a_sampler_that_does_not_declare_its_state_is_refused_at_the_start(tmp_path: Path, sampler: slt.HMC) -> None:
    settings = {"chains": 1, "draws": 3, "warmup": 2, "progress": False}
    slt.sample(posterior(), sampler, **settings)
    with pytest.raises(SettingsError, match=r"annotate what init returns"):
        slt.sample(posterior(), sampler, save_to=tmp_path / "run", **settings)


@pytest.mark.parametrize(
    "sampler",
    [
        slt.SGNHT(preconditioner="diagonal"),
        slt.MALA(preconditioner="diagonal"),
        slt.HMC(leapfrogs=1, mass="low_rank"),
        slt.HMC(leapfrogs=1, mass="dense"),
        slt.ScaleMoves(slt.HMC(leapfrogs=1, mass="dense")),
        slt.SGLD(preconditioner=slt.RMSprop(decay=0.9, epsilon=0.1)),
        slt.SGLD(step_size=1e-3, preconditioner=slt.RMSprop(decay=0.9, epsilon=0.1, adaptive=True)),
    ],
    ids=["SGNHT", "MALA", "HMC", "dense", "scale moves", "SGLD", "adaptive"],
)
@pytest.mark.parametrize("method", ["vectorized", "in_place"])
def test_every_shipped_sampler_is_read_back(
    tmp_path: Path, sampler: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the middle of its warmup, where there is an adaptation."""
    settings = {"chains": 2, "draws": 3, "warmup": 30, "chain_method": method, "progress": False}
    calm = slt.sample(posterior(), sampler, **settings)
    monkeypatch.setattr(saved, "_INTERVAL", 0.0)
    monkeypatch.setattr(saved, "_SHARE", 1e9)
    monkeypatch.setattr("slt.running.session._ROUND_DRAWS", 5)
    save, at = saved.SavedRun.save, [14, 29]

    class Dead(Exception):
        pass

    def die(self: saved.SavedRun, blocks: Any, observed: Any, state: saved.Saved) -> None:
        save(self, blocks, observed, state)
        if at and state.warmed >= at[0]:
            at.pop(0)
            raise Dead

    monkeypatch.setattr(saved.SavedRun, "save", die)
    for _ in range(2):
        with pytest.raises(Dead):
            slt.sample(posterior(), sampler, save_to=tmp_path / "run", **settings)
    found = slt.sample(posterior(), sampler, save_to=tmp_path / "run", **settings)
    np.testing.assert_array_equal(found.get("posterior", "excess"), calm.get("posterior", "excess"))
