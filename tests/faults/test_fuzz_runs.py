"""Run folders changed at random: an error of slt, or the result unchanged; nothing else comes of it."""

import json
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import slt
from slt.errors import SltError
from slt.running.documents import to_text
from tests.running.small_runs import files, posterior, rewrite_state

DRAWS = 4
VALUES = [None, True, -1, 0, 1.5, 10**400, float("nan"), "", "os.system", [], [[]], {}, {"plain": 1}, "9" * 5000]
_MEMORY = 2**24  # of a resume, beside the few kilobytes of the files


def call(folder: Path, draws: int = DRAWS) -> slt.Trace:
    settings = {"chains": 2, "draws": draws, "warmup": 2, "chain_method": "in_place", "progress": False}
    observe = {"norm": lambda model: model.weight.norm()}
    return slt.sample(PROBLEM[0], slt.HMC(leapfrogs=1), observe=observe, save_to=folder, **settings)


PROBLEM: list[slt.LocalPosterior] = []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], slt.Trace]:
    PROBLEM[:] = [posterior()]
    folder = tmp_path_factory.mktemp("whole") / "run"
    trace = call(folder)
    return files(folder), trace


def write(folder: Path, content: dict[str, bytes]) -> None:
    for name, each in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(each)


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in rng.integers(len(changed), size=rng.integers(1, 9)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content)))]


def replace(content: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 200))
    return content[:start] + rng.bytes(length) + content[start + length :]


def swap(content: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(content)))
    return content[place:] + content[:place]


BYTES: list[Callable[[bytes, np.random.Generator], bytes]] = [flip, cut, replace, swap]


def change_tree(tree: Any, rng: np.random.Generator) -> None:
    """Rename a key, drop it, or put something else in its place, somewhere in a JSON text."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(tree[key], dict | list) and tree[key] and rng.random() < 0.8:
            tree = tree[key]
            continue
        what = rng.integers(3)
        if what == 0:
            tree[key] = VALUES[int(rng.integers(len(VALUES)))]
        elif what == 1:
            del tree[key]
        elif isinstance(tree, dict):
            tree[f"{key}x"] = tree.pop(key)
        return


def attempt(make: Callable[[], Any]) -> Any:
    """Return what comes of a call, be it an error of slt; nobody is told to throw away what can be read."""
    try:
        return make()
    except SltError as refusal:
        error = refusal
    assert "emove the folder" not in str(error)
    return error


def goes_on(folder: Path, trace: slt.Trace) -> bool:
    """Resume; whether that went on. What is not whole is refused and left as it is."""
    before = files(folder)
    around = sorted(p.name for p in folder.parent.iterdir())
    found = attempt(lambda: call(folder))
    assert sorted(p.name for p in folder.parent.iterdir()) == around
    if isinstance(found, SltError):
        assert files(folder) == before
        return False
    for name in ("excess", "distance"):
        there = found.get("posterior", name)[:, :DRAWS]
        np.testing.assert_array_equal(there, trace.get("posterior", name))
    return True


def fuzz_bytes(tmp_path: Path, whole: tuple[dict[str, bytes], slt.Trace], seeds: range) -> int:
    content, trace = whole
    names = sorted(name for name in content if name != "trace.nc")
    went_on = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        name = names[seed % len(names)]
        changed = BYTES[int(rng.integers(len(BYTES)))](content[name], rng)
        write(folder, {**content, name: changed})
        went_on += goes_on(folder, trace)
    return went_on


def fuzz_texts(tmp_path: Path, whole: tuple[dict[str, bytes], slt.Trace], seeds: range) -> int:
    """Changes that whoever made them has given a fitting checksum; only errors of slt may come of them."""
    content, _ = whole
    went_on = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        folder = tmp_path / f"text {seed}"
        write(folder, content)
        if seed % 2:
            rewrite_state(folder, lambda tree, arrays, rng=rng: change_tree(tree, rng))
        else:
            held = json.loads(content["run.json"])
            del held["checksum"]
            change_tree(held, rng)
            form = held.pop("format", 2)
            (folder / "run.json").write_text(to_text(form, held) if isinstance(form, int) else json.dumps(held))
        went_on += isinstance(attempt(partial(call, folder, DRAWS + 2)), slt.Trace)
    return went_on


def fuzz_arrays(tmp_path: Path, whole: tuple[dict[str, bytes], slt.Trace], seeds: range) -> None:
    """Arrays of other shapes and types in a state."""
    content, _ = whole
    shapes = [(), (0,), (2,), (3,), (2, 3), (1, 3), (2, 1), (0, 3), (2, 3, 1)]
    types = ["<f4", "<f8", "<i8", "|b1", "<c16", ">f8", "<U3", "<f2", "|u1"]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        folder = tmp_path / f"array {seed}"
        write(folder, content)
        array = np.zeros(shapes[int(rng.integers(len(shapes)))], types[int(rng.integers(len(types)))])
        if array.dtype.kind != "U":
            array = (array + int(rng.integers(2))).astype(array.dtype)
        rewrite_state(folder, lambda tree, arrays, r=rng, a=array: arrays.update({f"a{r.integers(len(arrays))}": a}))
        attempt(partial(call, folder, DRAWS + 2))


def test_bytes_changed_at_random(tmp_path: Path, whole: tuple[dict[str, bytes], slt.Trace]) -> None:
    tracemalloc.start()
    try:
        went_on = fuzz_bytes(tmp_path, whole, range(26))
        assert tracemalloc.get_traced_memory()[1] < _MEMORY
    finally:
        tracemalloc.stop()
    assert went_on < 13


def test_texts_and_arrays_changed_at_random(tmp_path: Path, whole: tuple[dict[str, bytes], slt.Trace]) -> None:
    assert fuzz_texts(tmp_path, whole, range(20)) < 10
    fuzz_arrays(tmp_path, whole, range(10))


@pytest.mark.exact
def test_much_changed_at_random(tmp_path: Path, whole: tuple[dict[str, bytes], slt.Trace]) -> None:
    fuzz_bytes(tmp_path, whole, range(100, 700))
    fuzz_texts(tmp_path, whole, range(100, 700))
    fuzz_arrays(tmp_path, whole, range(100, 500))


def test_plans_changed_at_random(tmp_path: Path) -> None:
    problem = posterior().problem
    data = problem.batch(torch.arange(20))

    def estimate(folder: Path) -> slt.Estimate:
        settings = {"localization": 1.0, "budget": slt.Gradients(700), "chains": 1, "progress": False}
        return slt.estimate_llc(problem.model, data, "mse", save_to=folder, **settings)

    value = estimate(tmp_path / "run").value
    content = files(tmp_path / "run")
    for seed in range(12):
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        write(folder, {**content, "plan.json": BYTES[seed % len(BYTES)](content["plan.json"], rng)})
        found = attempt(partial(estimate, folder))
        assert isinstance(found, SltError) or found.value == value
