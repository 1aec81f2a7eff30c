"""Files: where a run is saved, and what may have happened to its folder since."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.situations_axes import EITHER, REFUSED, File

Run = Callable[[Any], Any]
"""A shorter run of the same situation with nothing around it, saved in a place."""


def begun(change: Callable[[Path], Any] = lambda folder: None) -> Callable[[Path, Run], Path]:
    """A folder of a shorter run, to which something happened."""

    def prepare(place: Path, run: Run) -> Path:
        folder = place / "run"
        run(folder)
        change(folder)
        return folder

    return prepare


def laid(make: Callable[[Path], Any]) -> Callable[[Path, Run], Any]:
    """A place without a run."""
    return lambda place, run: make(place)


def lost(name: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def cut(name: str, share: float = 0.7) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        held = (folder / name).read_bytes()
        (folder / name).write_bytes(held[: int(share * len(held))])

    return change


def flipped(name: str, at: int = -40) -> Callable[[Path], Any]:
    """One bit of a file is another."""

    def change(folder: Path) -> None:
        held = bytearray((folder / name).read_bytes())
        held[at] ^= 0x40
        (folder / name).write_bytes(bytes(held))

    return change


def replaced(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def longer(folder: Path) -> None:
    """Draws behind those that count, as a kill in the middle of a save leaves them."""
    with (folder / "draws" / "excess.npy").open("ab") as file:
        file.write(b"\x07" * 80)


def other_draws(folder: Path) -> None:
    """A file of draws in which all numbers are other ones, written by NumPy."""
    path = folder / "draws" / "excess.npy"
    held = np.load(path)
    np.save(path, held * 2)


def swapped(folder: Path) -> None:
    """The files of two quantities are exchanged."""
    one, two = folder / "draws" / "excess.npy", folder / "draws" / "distance.npy"
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)


def older_state(place: Path, run: Run) -> Path:
    """A state of another run of the same kind lies where the run's own was."""
    run(place / "other")
    run(place / "run")
    shutil.copy(place / "other" / "state.npz", place / "run" / "state.npz")
    shutil.rmtree(place / "other")
    return place / "run"


def other_identity(folder: Path) -> None:
    held = json.loads((folder / "run.json").read_text())
    held["identity"] = {name: "0" * len(value) for name, value in held["identity"].items()}
    (folder / "run.json").write_text(json.dumps(held))


def newer_format(folder: Path) -> None:
    held = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(held | {"format": 99}))


def moved(place: Path, run: Run) -> Path:
    run(place / "run")
    (place / "run").rename(place / "elsewhere")
    return place / "elsewhere"


def copied(place: Path, run: Run) -> Path:
    run(place / "run")
    shutil.copytree(place / "run", place / "copy")
    return place / "copy"


def a_file(place: Path) -> Path:
    (place / "run").write_text("notes\n")
    return place / "run"


def under_a_file(place: Path) -> Path:
    (place / "notes").write_text("notes\n")
    return place / "notes" / "run"


def foreign(place: Path) -> Path:
    (place / "run").mkdir()
    (place / "run" / "thesis.tex").write_text("all of it\n")
    return place / "run"


def draws_of_others(place: Path) -> Path:
    """No run, but a folder of the name that a run's draws have."""
    (place / "run" / "draws").mkdir(parents=True)
    (place / "run" / "draws" / "excess.npy").write_bytes(b"mine")
    return place / "run"


def empty(place: Path) -> Path:
    (place / "run").mkdir()
    return place / "run"


def dangling(place: Path) -> Path:
    (place / "run").symlink_to(place / "gone")
    return place / "run"


def linked(place: Path, run: Run) -> Path:
    run(place / "run")
    (place / "link").symlink_to(place / "run", target_is_directory=True)
    return place / "link"


def circle(place: Path) -> Path:
    (place / "run").symlink_to(place / "run")
    return place / "run"


def trace_is_a_folder(folder: Path) -> None:
    (folder / "trace.nc").unlink(missing_ok=True)
    (folder / "trace.nc").mkdir()


class Homemade(os.PathLike[str]):
    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


PLAIN = "none"

FILES: list[tuple[str, File]] = [
    (PLAIN, File(laid(lambda place: None))),
    ("a new folder", File(laid(lambda place: place / "run"))),
    ("a new folder, deep", File(laid(lambda place: place / "a" / "b" / "run"))),
    ("an empty folder", File(laid(empty))),
    ("a string", File(laid(lambda place: str(place / "run")))),
    ("bytes", File(laid(lambda place: bytes(place / "run")), EITHER)),
    ("a path of one's own", File(laid(lambda place: Homemade(place / "run")))),
    ("spaces and other letters", File(laid(lambda place: place / "ein Lauf Ωß"))),
    ("a number", File(laid(lambda place: 3), REFUSED)),
    ("an empty string", File(laid(lambda place: ""), REFUSED)),
    ("a zero in the name", File(laid(lambda place: f"{place}/a\0b"), REFUSED)),
    ("too long a name", File(laid(lambda place: place / ("r" * 300)), REFUSED)),
    ("a file", File(laid(a_file), REFUSED)),
    ("under a file", File(laid(under_a_file), REFUSED)),
    ("a folder of others", File(laid(foreign), REFUSED)),
    ("draws of others", File(laid(draws_of_others), REFUSED)),
    ("a link to nowhere", File(laid(dangling), EITHER)),
    ("a link to itself", File(laid(circle), REFUSED)),
    ("a device", File(laid(lambda place: "/dev/null"), REFUSED)),
    ("where nothing can be made", File(laid(lambda place: "/proc/run"), REFUSED)),
    # resumed
    ("resumed", File(begun())),
    ("resumed, moved", File(moved)),
    ("resumed, copied", File(copied)),
    ("resumed through a link", File(linked)),
    ("resumed, a trace lost", File(begun(lost("trace.nc")))),
    ("resumed, a trace damaged", File(begun(cut("trace.nc")), EITHER)),
    ("resumed, a trace that is a folder", File(begun(trace_is_a_folder), REFUSED)),
    ("resumed, a note beside", File(begun(replaced("notes.txt", b"mine\n")))),
    ("resumed, draws beyond those that count", File(begun(longer), EITHER)),
    # lost
    ("the state lost", File(begun(lost("state.npz")), REFUSED)),
    ("a file of draws lost", File(begun(lost("draws/excess.npy")), REFUSED)),
    ("another file of draws lost", File(begun(lost("draws/virial.npy")), REFUSED)),
    ("all draws lost", File(begun(lost("draws")), REFUSED)),
    ("the manifest lost", File(begun(lost("run.json")), REFUSED)),
    ("the observables' folder lost", File(begun(lost("observables")), EITHER)),
    # cut
    ("the state cut", File(begun(cut("state.npz")), REFUSED)),
    ("the state empty", File(begun(replaced("state.npz", b"")), REFUSED)),
    ("a file of draws cut", File(begun(cut("draws/excess.npy")), REFUSED)),
    ("a file of draws empty", File(begun(replaced("draws/excess.npy", b"")), REFUSED)),
    ("a header cut", File(begun(cut("draws/excess.npy", 0.05)), REFUSED)),
    ("the manifest cut", File(begun(cut("run.json")), REFUSED)),
    ("the manifest empty", File(begun(replaced("run.json", b"")), REFUSED)),
    # altered
    ("a bit of the state flipped", File(begun(flipped("state.npz", 400)), REFUSED)),
    ("a bit of the draws flipped", File(begun(flipped("draws/excess.npy")), REFUSED)),
    ("a bit of a header flipped", File(begun(flipped("draws/excess.npy", 14)), REFUSED)),
    ("a shape in a header changed", File(begun(flipped("draws/excess.npy", 60)), REFUSED)),
    ("draws changed", File(begun(other_draws), REFUSED)),
    ("draws exchanged", File(begun(swapped), REFUSED)),
    ("a state of a like run", File(older_state, EITHER)),
    ("the manifest of another run", File(begun(other_identity), REFUSED)),
    ("the manifest of a newer slt", File(begun(newer_format), REFUSED)),
    ("the manifest not text", File(begun(replaced("run.json", b"\xff\xfe\x00")), REFUSED)),
    ("the manifest a list", File(begun(replaced("run.json", b"[]")), REFUSED)),
    ("the manifest a number", File(begun(replaced("run.json", b'{"format": "x"}')), REFUSED)),
]
