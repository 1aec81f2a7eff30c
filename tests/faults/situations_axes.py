"""What a situation is made of: the types of the four axes, and the linear regression behind every model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]

ROWS = 200
LOCALIZATION = 20.0
NBETA = ROWS / np.log(ROWS)  # the default

RIGHT = "right"
REFUSED = "refused by name"
EITHER = "right or refused by name"
OWN = "the user's own exception"

SLOPES, RISE = np.array([0.8, -0.6, 0.5]), 0.4


class UserError(Exception):
    """Raised by what stands for the user's code: it must come out as it went in."""


def _drawn() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 3))
    y = x @ SLOPES[:, None] + RISE + 0.5 * rng.standard_normal((ROWS, 1))
    return x.astype(np.float32).astype(float), y.astype(np.float32).astype(float)


X, Y = _drawn()


def affine(x: Array) -> Array:
    """What the entries of `nn.Linear(3, 1)` are multiplied by: the inputs, and 1."""
    return np.hstack([x, np.ones((len(x), 1))])


def nothing(x: Array) -> Array:
    """What a model adds to what its moving entries make: nothing."""
    return np.zeros((len(x), 1))


def pair(batch: Any) -> tuple[Tensor, Tensor]:
    """Inputs and targets, however the data hold them."""
    if isinstance(batch, Tensor):
        return batch[:, :-1], batch[:, -1:]
    if hasattr(batch, "keys"):
        return batch["x"], batch["y"]
    return batch[0], batch[1]


def squares(model: Any, batch: Any) -> Tensor:
    """Half the squared error of each example."""
    x, y = pair(batch)
    return ((model(x) - y) ** 2).float().sum(1) / 2


@dataclass(frozen=True)
class Model:
    """A model that is a linear regression in its moving entries, however it is written.

    Attributes:
        build: Makes it at the entries' best values, given in the order of `columns`.
        columns: What the moving entries are multiplied by, (rows, entries).
        offset: What the model adds to that.
        expected: What a call must come to.
        parameters: Which parameters move.
        loss: The loss; the regression's squares unless it is what is looked at.
        observe: What is observed.
        dtype: Of weights and data.
        function: Whether the model is a function whose rank can be asked for; None where nothing is promised.
    """

    build: Callable[[Tensor], nn.Module]
    columns: Callable[[Array], Array] = affine
    offset: Callable[[Array], Array] = nothing
    expected: str = RIGHT
    parameters: Any = None
    loss: Any = squares
    observe: Callable[[], dict[str, Any]] | None = None
    dtype: torch.dtype = torch.float32
    function: bool = True

    def best(self) -> Tensor:
        """Values of the moving entries at the minimum."""
        found = np.linalg.lstsq(self.columns(X), Y - self.offset(X), rcond=None)[0]
        return torch.from_numpy(found[:, 0])

    def curvatures(self) -> Array:
        """Eigenvalues of the Hessian of the loss."""
        z = self.columns(X)
        return np.linalg.eigvalsh(z.T @ z / len(z))


@dataclass(frozen=True)
class Context:
    """What surrounds a call.

    Attributes:
        around: Runs a call inside, and returns what it does.
        expected: What a call must come to.
        progress: Whether a bar is shown.
    """

    around: Callable[[Callable[[], Any]], Any]
    expected: str = RIGHT
    progress: bool = False


@dataclass(frozen=True)
class Data:
    """The rows, given in some form.

    Attributes:
        form: From inputs and targets to what is handed over.
        expected: What a call must come to.
        settings: What is said beside it.
        loss: Which loss; None for the model's.
    """

    form: Callable[[Tensor, Tensor], Any]
    expected: str = RIGHT
    settings: tuple[tuple[str, Any], ...] = ()
    loss: Any = None


@dataclass(frozen=True)
class File:
    """Where a run is saved.

    Attributes:
        prepare: Lays a place out, in a folder of its own, and returns `save_to`; it may run a part of the run.
        expected: What a call must come to.
    """

    prepare: Callable[[Path, Callable[[Any], Any]], Any]
    expected: str = RIGHT


def named(entries: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Key entries by name, of which none may come twice."""
    found = dict(entries)
    assert len(found) == len(entries)
    return found
