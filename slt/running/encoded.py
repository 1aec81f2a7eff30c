"""The state of a run as JSON and arrays: only classes that its sampler declares are built, and no text is run."""

import io
import types
import typing
import zipfile
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slt._tree import Params, Rows, Square
from slt.errors import SettingsError
from slt.posterior.felt import Felt
from slt.running.advance import Run
from slt.running.columns import from_bytes
from slt.samplers import Sampler, ScaleMoves

Kinds = Mapping[str, type]
"""Classes that a saved state may hold, by "module:qualified name"."""

Count = Literal["chains", "one", "any"]
"""Rows of `Params`: one a chain; one for all, as in a tuning; or as many as were found, as of `Rows`."""

DECLARE = (
    "a run is saved by the classes that its sampler declares: annotate what init returns as tuple[State, Tuning, "
    "Adaptation | None], what step returns as tuple[State, Info], and what adapt and pool return as tuple[Adaptation, "
    "Tuning], each a NamedTuple of tensors (chains,), Params, numbers and further NamedTuples"
)


class Declared(NamedTuple):
    """What a sampler declares as the types of its State, Tuning and Adaptation."""

    state: Any
    tuning: Any
    adaptation: Any

    @property
    def kinds(self) -> Kinds:
        """The classes that a saved run of this sampler may hold."""
        found: dict[str, type] = {key_of(Run): Run}
        for hint in self:
            _collect(hint, found)
        return found


class Layout(NamedTuple):
    """Sizes of a group of chains."""

    chains: int
    leaves: Mapping[str, int]
    """Entries of each leaf of `Params`."""


def declared(sampler: Sampler) -> Declared:
    """Read what a sampler's methods are annotated to return.

    Returns:
        The types.

    Raises:
        SettingsError: If they do not say it.
    """
    if isinstance(sampler, ScaleMoves):
        return declared(sampler.inner)
    returned: dict[str, tuple[Any, ...]] = {}
    for name, length in (("init", 3), ("step", 2), ("adapt", 2), ("pool", 2)):
        try:
            hint = typing.get_type_hints(getattr(type(sampler), name))["return"]
        except (AttributeError, KeyError, NameError, TypeError) as error:
            raise SettingsError(f"{DECLARE}; got {type(sampler).__name__}.{name}, which does not: {error}.") from error
        returned[name] = typing.get_args(hint)
        if len(returned[name]) != length:
            raise SettingsError(f"{DECLARE}; got {type(sampler).__name__}.{name} -> {hint}.")
    init, step, adapt, pool = returned.values()
    # Union, because what stands here is known only now
    return Declared(
        Union[init[0], step[0]],  # noqa: UP007
        Union[init[1], adapt[1], pool[1]],  # noqa: UP007
        Union[init[2], adapt[0], pool[0], None],  # noqa: UP007
    )


def _collect(hint: Any, found: dict[str, type]) -> None:
    if _is_named_tuple(hint):
        if key_of(hint) not in found:
            found[key_of(hint)] = hint
            _collect_fields(hint, found)
        return
    for part in typing.get_args(hint):
        _collect(part, found)


def _collect_fields(kind: type, found: dict[str, type]) -> None:
    for field in typing.get_type_hints(kind).values():
        _collect(field, found)


def key_of(kind: type) -> str:
    """Name a class as a saved state does."""
    return f"{kind.__module__}:{kind.__qualname__}"


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def require_fit(run: Run, hints: Declared, layout: Layout) -> None:
    """Check that a group's state is what its sampler declares, each tensor of the size that it must have.

    Raises:
        ValueError: If not; it says where.
    """
    if not isinstance(run.dead, Tensor) or run.dead.dtype != torch.bool or run.dead.shape != (layout.chains,):
        raise ValueError(f"dead must be {layout.chains} truth values")
    if not _fits(run.nbeta, Tensor, layout, "chains"):
        raise ValueError(f"nbeta must be {layout.chains} numbers")
    for name, hint in hints._asdict().items():
        value = getattr(run, name)
        if not _fits(value, hint, layout, "one" if name == "tuning" else "chains"):
            raise ValueError(f"its {name} is no {_short(hint)} of {layout.chains} chains, got {_short(type(value))}")


def require_felt(felt: Any, layout: Layout) -> None:
    """Check the directions in which the loss is felt.

    Raises:
        ValueError: If they are something else.
    """
    fits = type(felt) is Felt and _fits(felt.basis, Params, layout, "any")
    rows = {len(leaf) for leaf in felt.basis.values()} if fits else set()
    if not fits or not isinstance(felt.shares, Tensor) or rows != {len(felt.shares)} or felt.shares.ndim != 1:
        raise ValueError("its felt directions are not those of the run")


def _fits(value: Any, hint: Any, layout: Layout, rows: Count) -> bool:
    """Whether a value is of a type, and each tensor in it of the size that it must have."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, part, layout, rows) for part in typing.get_args(hint))
    if hint is Tensor:
        return isinstance(value, Tensor) and value.shape == (layout.chains,) and not value.is_complex()
    if hint == Square:
        size = sum(layout.leaves.values())
        shape = (layout.chains, size, size)
        return isinstance(value, Tensor) and value.shape == shape and value.is_floating_point()
    if hint == Rows:
        hint, rows = Params, "any"
    if hint == Params:
        return isinstance(value, dict) and list(value) == list(layout.leaves) and _are_params(value, layout, rows)
    if _is_named_tuple(hint):
        return type(value) is hint and all(
            _fits(getattr(value, name), field, layout, rows)
            for name, field in typing.get_type_hints(hint, include_extras=True).items()
        )
    if hint is int:
        return type(value) is int and abs(value) < 2**63
    if hint is float:
        return isinstance(value, float) or _fits(value, int, layout, rows)
    return hint in (bool, str, types.NoneType) and type(value) is hint


def _are_params(value: Params, layout: Layout, rows: Count) -> bool:
    for name, entries in layout.leaves.items():
        leaf = value[name]
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point() or leaf.ndim != 2:
            return False
        if leaf.shape[0] != {"chains": layout.chains, "one": 1, "any": leaf.shape[0]}[rows]:
            return False
        # What all chains share may hold one number for all entries of a leaf.
        if leaf.shape[1] != entries and (rows == "chains" or leaf.shape[1] != 1):
            return False
    return True


def _short(hint: Any) -> str:
    return getattr(hint, "__qualname__", str(hint))


def encode(tree: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Write nested NamedTuples, dicts and tensors as JSON and arrays."""
    if isinstance(tree, Tensor):
        key = f"a{len(arrays)}"
        arrays[key] = tree.cpu().numpy()
        return {"array": key, "device": str(tree.device)}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return {"kind": key_of(type(tree)), "fields": [encode(value, arrays) for value in tree]}
    if isinstance(tree, dict):
        return {"leaves": {name: encode(leaf, arrays) for name, leaf in tree.items()}}
    return {"plain": tree}


def decode(held: Any, arrays: Mapping[str, NDArray[Any]], kinds: Kinds) -> Any:
    """Build what `encode` wrote, on the CPU.

    Args:
        held: The JSON.
        arrays: The arrays.
        kinds: The classes that may be built.

    Returns:
        The tree; whether its fields are what they must be is not checked here.

    Raises:
        ValueError: If it is something else, or names another class.
    """
    if isinstance(held, dict):
        if set(held) == {"array", "device"} and str(held["array"]) in arrays:
            try:
                return torch.from_numpy(arrays[str(held["array"])])
            except TypeError as error:
                raise ValueError(str(error)) from error
        if set(held) == {"leaves"} and isinstance(held["leaves"], dict):
            return {name: decode(leaf, arrays, kinds) for name, leaf in held["leaves"].items()}
        if set(held) == {"plain"} and not isinstance(held["plain"], dict | list):
            return held["plain"]
        if set(held) == {"kind", "fields"} and isinstance(held["fields"], list):
            kind = kinds.get(str(held["kind"]))
            if kind is None:
                raise ValueError(f"it holds {held['kind']!r:.80}, which the run's sampler does not declare")
            if len(held["fields"]) != len(getattr(kind, "_fields", ())):
                raise ValueError(f"it holds {len(held['fields'])} fields of {held['kind']}")
            return kind(*(decode(value, arrays, kinds) for value in held["fields"]))
    raise ValueError(f"it holds {held!s:.80!r} where a part of a state belongs")


def to_device(tree: Any, device: torch.device) -> Any:
    """Move every tensor of a tree of NamedTuples and dicts."""
    if isinstance(tree, Tensor):
        return tree.to(device)
    if isinstance(tree, dict):
        return {name: to_device(leaf, device) for name, leaf in tree.items()}
    if isinstance(tree, tuple):
        return type(tree)(*(to_device(value, device) for value in tree))
    return tree


def archive(text: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Put a text and arrays into an uncompressed .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, tree=np.array(text), **arrays)
    return buffer.getvalue()


def read_archive(file: Any, size: int) -> tuple[str, dict[str, NDArray[Any]]]:
    """Read what `archive` wrote.

    Args:
        file: The open file.
        size: Its size in bytes, which its members together may not exceed.

    Returns:
        The text, and the arrays by name.

    Raises:
        ValueError: If it is something else.
    """
    with zipfile.ZipFile(file) as held:
        members = held.infolist()
        if any(member.flag_bits & 1 for member in members):
            raise ValueError("it holds encrypted members")
        if any(m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size for m in members):
            raise ValueError("it holds compressed members")
        if sum(member.file_size for member in members) > size:
            raise ValueError("its members claim more bytes than it has")
        if len({member.filename for member in members}) != len(members):
            raise ValueError("it holds a member twice")
        arrays = {m.filename.removesuffix(".npy"): from_bytes(held.read(m)) for m in members}
    text = arrays.pop("tree", None)
    if text is None or text.dtype.kind != "U" or text.shape != ():
        raise ValueError("it holds no text that says what its arrays are")
    return str(text), arrays
