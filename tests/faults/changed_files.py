"""Files changed at random, and what reading them comes to.

    python -m tests.faults.changed_files FOLDER KIND COUNT SEED

reads COUNT changed files of a kind, and prints as JSON how many were refused, read unchanged, and read as something
else, what was raised that is no error of slt, and the memory that it took beyond that of the first, unchanged file.
"""

import json
import resource
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from slt import Trace, llc
from slt._netcdf import to_bytes
from slt.checkpoints.folder import Folder
from slt.errors import SltError

SETTINGS = {
    **{"unadjusted": True, "full_data": False, "localization": {"w": 1.0}, "localization_zero": False},
    **{"sampler": "SGLD(step_size=AUTO)", "versions": {"slt": "0"}, "notes": ["a note"], "burn_in": 2, "batch_size": 8},
}
RUN = {"seed": 0, "loss": "mse"}
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def trace(**settings: Any) -> Trace:
    rng = np.random.default_rng(0)
    return Trace.from_arrays(
        posterior={name: rng.gamma(2.0, 0.01, (3, 60)) for name in ("excess", "loss", "distance")},
        sample_stats={"surplus": rng.normal(size=(3, 60)), "diverging": rng.random((3, 60)) < 0.1},
        constant_data={
            **{"n": 100, "nbeta": 20.0, "dimension": 5, "loss_center": 0.3, "alive": np.ones(3, bool)},
            "tuning_step_size": (("chain",), np.full(3, 0.1)),
        },
        settings={**SETTINGS, **settings},
    )


def write_trace(place: Path) -> Path:
    trace().save(place / "trace.nc")
    return place / "trace.nc"


def write_unsealed(place: Path) -> Path:
    """Write as the version before did: HDF5 reads whatever was changed."""
    (place / "trace.nc").write_bytes(to_bytes(trace().to_datatree())[:-75])
    content = (place / "trace.nc").read_bytes().replace(b"slt-sha256", b"another ti")
    (place / "trace.nc").write_bytes(content)
    return place / "trace.nc"


def write_run(place: Path) -> Path:
    (place / "observables").mkdir()
    trace(observables=["probe"]).save(place / "trace.nc")
    np.save(place / "observables" / "probe.npy", np.arange(60.0 * 3 * 4).reshape(60, 3, 4))
    return place / "observables" / "probe.npy"


def write_sweep(place: Path) -> Path:
    made = Folder(place, RUN, ["a", "b"])
    made.keep("a", None, llc(trace()), None, 1.0)
    made.keep("b", None, None, ValueError("no"), 2.0)
    return place / "sweep.json"


def read_trace(place: Path) -> object:
    loaded = Trace.load(place / "trace.nc")
    return str(llc(loaded)), repr(loaded)


def read_run(place: Path) -> object:
    loaded = Trace.load(place)
    return loaded.get("observables", "probe").shape, str(llc(loaded))


def read_sweep(place: Path) -> object:
    return Folder(place, RUN, ["a", "b"]).entries


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "trace": (write_trace, read_trace),
    "unsealed": (write_unsealed, read_trace),
    "run": (write_run, read_run),
    "sweep": (write_sweep, read_sweep),
}


def change(whole: Bytes, rng: np.random.Generator) -> bytes:
    """Flip, replace, cut or repeat some bytes; most changes are near the beginning, where sizes and types are."""
    changed = whole.copy()
    end = len(whole) if rng.random() < 0.5 else min(len(whole), 400)
    at = rng.integers(end, size=rng.integers(1, 9))
    kind = rng.integers(5)
    if kind == 0:
        changed[at] ^= (1 << rng.integers(8, size=len(at))).astype(np.uint8)
    elif kind == 1:
        changed[at] = rng.integers(256, size=len(at))
    elif kind == 2:
        changed[at[0] : at[0] + 8] = rng.choice([0, 127, 255])
    elif kind == 3:
        return changed[: at[0]].tobytes()
    else:
        digits = np.flatnonzero((whole >= ord("0")) & (whole <= ord("9")))
        changed[rng.choice(digits, 3)] = rng.integers(ord("0"), ord("9") + 1, size=3)
    return changed.tobytes()


def read_changed(place: Path, kind: str, count: int, seed: int) -> dict[str, Any]:
    write, read = KINDS[kind]
    rng, told = np.random.default_rng(seed), {"refused": 0, "unchanged": 0, "another": 0, "raised": []}
    original = place / "original"
    original.mkdir()
    name = write(original).relative_to(original)
    whole, expected = np.fromfile(original / name, np.uint8), read(original)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(count):
        copy = place / "copy"
        shutil.copytree(original, copy)
        (copy / name).write_bytes(change(whole, rng))
        files = sorted(copy.rglob("*"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's, of changed numbers
                same = read(copy) == expected
            told["unchanged" if same else "another"] += 1
        except SltError:
            told["refused"] += 1
        except Exception as error:
            told["raised"].append(f"{i}: {type(error).__name__}: {error}"[:200])
        if sorted(copy.rglob("*")) != files:
            told["raised"].append(f"{i}: other files are there")
        shutil.rmtree(copy)
    return {**told, "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before}


if __name__ == "__main__":
    print(json.dumps(read_changed(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
