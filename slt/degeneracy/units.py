"""The units of one hidden layer: which of them are not needed, and the surgery that removes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from slt.degeneracy.graph import Layer, UnitLayer

_SAME = 1e-10  # of a weight's size: two weights nearer than this are equal
_ON = 1.0  # what the least active of merged always-on units gets above zero, in units of the spread


@dataclass(frozen=True)
class Finding:
    """Something that a network does not need.

    Attributes:
        layer: Name of the layer that writes the units.
        units: Their numbers.
        kind: "unread", "dead", "constant", "duplicate", "opposite", "cancelling", "always on", "rank-deficient
            product"; for attention "dead head", "low-rank value-output", "low-rank query-key".
        scope: "function", or "these data".
        note: What tells it.
    """

    layer: str
    units: tuple[int, ...]
    kind: str
    scope: str
    note: str

    def __str__(self) -> str:
        """One line."""
        shown = ", ".join(map(str, self.units[:8])) + (", ..." if len(self.units) > 8 else "")
        where = "" if self.scope == "function" else ", on these data alone"
        return f"{self.kind}: {self.layer}[{shown}] ({self.note}{where})"


@dataclass(frozen=True)
class Step:
    """One reduction: the units that go, and where what they did is kept."""

    finding: Finding
    gone: tuple[int, ...]
    into: int | None = None
    factors: tuple[float, ...] = ()
    constants: tuple[float, ...] = ()


class Units:
    """The weights around one hidden layer.

    Attributes:
        incoming: For each writer the weights and bias of every unit, (units, inputs + 1).
        outgoing: What the reader makes of every unit, (units, outputs, places).
        acts: Activations on the data, (units, everything).
    """

    def __init__(self, model: nn.Module, layer: UnitLayer) -> None:
        """Copy the weights."""
        modules = dict(model.named_modules())
        self.layer = layer
        self.writers = [cast("Layer", modules[name]) for name in layer.writers]
        self.reader = cast("Layer", modules[layer.reader])
        self.incoming = [_incoming(m) for m in self.writers]
        self.count = self.incoming[0].shape[0]
        self.outgoing = (
            self.reader.weight.detach().flatten(1).reshape(self.reader.weight.shape[0], self.count, -1).transpose(0, 1)
        ).clone()
        self.acts = layer.acts().detach()

    @property
    def gated(self) -> bool:
        """Whether two writers meet in a product."""
        return len(self.writers) == 2

    @property
    def folds(self) -> bool:
        """Whether a constant may go into the reader's bias: zero padding would see the border."""
        return not (isinstance(self.reader, nn.Conv2d) and any(_as_pair(self.reader.padding)))

    def activation(self, z: Tensor) -> Tensor:
        """Apply the activation, of the gate where there is one."""
        return self.layer.activation(0, z)

    def keep(self, chosen: list[int]) -> None:
        """Write weights back, with these units alone."""
        with torch.no_grad():
            for module, rows in zip(self.writers, self.incoming, strict=True):
                shape = module.weight.shape[1:]
                module.weight = nn.Parameter(rows[chosen, :-1].reshape(len(chosen), *shape))
                if module.bias is not None:
                    module.bias = nn.Parameter(rows[chosen, -1].clone())
                _set_sizes(module, outputs=len(chosen))
            wide = self.outgoing[chosen].transpose(0, 1)
            outputs, places = wide.shape[0], wide.shape[2]
            if isinstance(self.reader, nn.Conv2d):
                self.reader.weight = nn.Parameter(wide.reshape(outputs, len(chosen), *self.reader.kernel_size))
                _set_sizes(self.reader, inputs=len(chosen))
            else:
                self.reader.weight = nn.Parameter(wide.reshape(outputs, -1))
                _set_sizes(self.reader, inputs=len(chosen) * places)

    def add_bias(self, change: Tensor) -> None:
        """Add to the reader's bias, which is made where there is none."""
        if not bool(change.any()):
            return
        with torch.no_grad():
            held = torch.zeros_like(change) if self.reader.bias is None else self.reader.bias.detach()
            self.reader.bias = nn.Parameter(held + change)


def find(units: Units) -> list[Finding]:
    """Name what the function, or these data, do not need."""
    return [step.finding for step in _plan(units)] + _opposite_only(units)


def merge(units: Units, *, on_data: bool) -> bool:
    """Remove what may go; return whether anything did."""
    if units.layer.linear:
        return _reduce_product(units)
    steps = [s for s in _plan(units) if on_data or s.finding.scope == "function"]
    if on_data and not steps:
        return _merge_always_on(units)
    gone: set[int] = set()
    bias = torch.zeros(units.outgoing.shape[1], dtype=torch.float64, device=units.outgoing.device)
    for step in steps:
        for k, unit in enumerate(step.gone):
            if step.constants:
                bias += step.constants[k] * units.outgoing[unit].sum(-1)
            if step.into is not None:
                units.outgoing[step.into] += step.factors[k] * units.outgoing[unit]
            gone.add(unit)
    chosen = [i for i in range(units.count) if i not in gone]
    if not chosen:  # one unit stays, unread: layers without any are more than some readers take
        chosen = [0]
        gone.discard(0)
        units.outgoing[0] = 0
    if not gone:
        return False
    units.add_bias(bias)
    units.keep(chosen)
    return True


def _plan(units: Units) -> list[Step]:
    """The reductions in an order in which they can be made, on a copy of the outgoing weights."""
    if units.layer.linear:
        return _product_plan(units)
    outgoing, left = units.outgoing.clone(), list(range(units.count))
    steps: list[Step] = []

    def take(step: Step) -> None:
        steps.append(step)
        for unit in step.gone:
            left.remove(unit)

    def name(units_: tuple[int, ...], kind: str, note: str, scope: str = "function") -> Finding:
        return Finding(units.layer.writers[0], units_, kind, scope, note)

    for i in list(left):
        if not bool(outgoing[i].any()):
            take(Step(name((i,), "unread", "its outgoing weights are zero"), (i,)))
    for i in list(left):
        held = _constant(units, i)
        if held is not None and (held == 0 or units.folds):
            kind = "constant" if held else "dead"
            take(Step(name((i,), kind, f"its value is {held:.3g} whatever the input"), (i,), constants=(held,)))
    for i in list(left):
        low, high = float(units.acts[i].min()), float(units.acts[i].max())
        if high - low <= _SAME * max(abs(high), abs(low)) and (high == 0 or units.folds):
            kind = "dead" if high == low == 0 else "constant"
            take(Step(name((i,), kind, f"its value is {high:.3g}", "these data"), (i,), constants=(high,)))
    for group, factors in _groups(units, left):
        head, rest = group[0], group[1:]
        ratios = tuple(float(factors[u] / factors[head]) for u in rest)
        summed = outgoing[head] + sum((r * outgoing[u] for r, u in zip(ratios, rest, strict=True)), outgoing[head] * 0)
        size = max(float(outgoing[u].abs().max()) for u in group)
        if float(summed.abs().max()) <= _SAME * size:
            take(
                Step(name(group, "cancelling", "equal incoming weights, and outgoing ones that add up to zero"), group)
            )
            continue
        take(Step(name(group, "duplicate", "equal incoming weights"), rest, head, ratios))
        outgoing[head] = summed
    steps += _opposite_steps(units, left)
    return steps


def _constant(units: Units, i: int) -> float | None:
    """The value of a unit that reads nothing, else None."""
    if units.gated:
        return 0.0 if not bool(units.incoming[1][i].any()) and not units.layer.branches[1] else None
    if bool(units.incoming[0][i, :-1].any()):
        return None
    return float(units.activation(units.incoming[0][i, -1:].reshape(1))[0])


def _groups(units: Units, left: list[int]) -> list[tuple[tuple[int, ...], dict[int, float]]]:
    """Units that are multiples of one another, with the factors."""
    canonical, factors = [], {}
    for i in left:
        rows, factor = [], 1.0
        for branch, incoming in enumerate(units.incoming):
            row = incoming[i]
            plain = units.gated and branch == 1 and not units.layer.branches[1]
            if plain or _homogeneous(units, branch):
                size = float(row.norm())
                if plain and size > 0:
                    size *= float(row[row.abs().argmax()].sign())
                if size != 0:
                    row, factor = row / size, factor * size
            rows.append(row)
        canonical.append(torch.cat(rows))
        factors[i] = factor
    # a maximum on the way is passed by positive factors alone
    return [
        (tuple(group), factors)
        for group in _equal_rows(left, canonical)
        if not units.layer.pools_maximum or all(factors[u] / factors[group[0]] > 0 for u in group)
    ]


def _equal_rows(labels: list[int], rows: list[Tensor]) -> list[list[int]]:
    if len(labels) < 2:
        return []
    stacked = torch.stack(rows)
    size = stacked.norm(dim=1)
    near = torch.cdist(stacked, stacked, compute_mode="donot_use_mm_for_euclid_dist") <= _SAME * (size + 1e-300)
    groups, taken = [], set()
    for i, label in enumerate(labels):
        if label not in taken:
            members = [labels[j] for j in near[i].nonzero().flatten().tolist() if labels[j] not in taken]
            taken.update(members)
            if len(members) > 1:
                groups.append(members)
    return groups


def _homogeneous(units: Units, branch: int) -> bool:
    """Whether activation(c z) = c activation(z) for c > 0, tried on numbers."""
    z = torch.linspace(-3, 3, 61, dtype=torch.float64, device="cpu")
    return bool(
        torch.allclose(units.layer.activation(branch, 1.7 * z), 1.7 * units.layer.activation(branch, z), atol=1e-12)
    )


def affine_reflection(activation: Callable[[Tensor], Tensor]) -> tuple[float, float, float] | None:
    """(s, a, l) with activation(-z) = s activation(z) + a + l z for all z, if there are such; else None."""
    z = torch.linspace(-3, 3, 61, dtype=torch.float64, device="cpu")
    value = activation(z)
    known = torch.stack([value, torch.ones_like(z), z], 1)
    if int(torch.linalg.matrix_rank(known)) < 3:
        return None
    found = torch.linalg.lstsq(known, activation(-z)).solution
    if float((known @ found - activation(-z)).abs().max()) > 1e-11:
        return None
    s, a, slope = (0.0 if abs(float(x)) < 1e-11 else float(x) for x in found)
    return s, a, slope


def _opposite_pairs(units: Units, left: list[int]) -> list[tuple[int, int]]:
    rows = units.incoming[0]
    if _homogeneous(units, 0):
        rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
    pairs, taken = [], set()
    for i in left:
        for j in left:
            same = i < j and not {i, j} & taken and float((rows[i] + rows[j]).norm()) <= _SAME * float(rows[i].norm())
            if same and bool(rows[i].any()):
                pairs.append((i, j))
                taken |= {i, j}
    return pairs


def _opposite_steps(units: Units, left: list[int]) -> list[Step]:
    """Opposite units that become one: the activation is odd up to a constant."""
    reflection = None if units.gated else affine_reflection(units.activation)
    if reflection is None or reflection[2] != 0 or (reflection[1] != 0 and not units.folds):
        return []
    s, a, _ = reflection
    if units.layer.pools_maximum and s < 0:
        return []
    note = "opposite incoming weights"
    return [
        Step(Finding(units.layer.writers[0], (i, j), "opposite", "function", note), (j,), i, (s,), (a,))
        for i, j in _opposite_pairs(units, left)
    ]


def _opposite_only(units: Units) -> list[Finding]:
    """Opposite and always-on units that no smaller layer of the same kind replaces one for one."""
    if units.layer.linear or units.gated:
        return []
    found = []
    reflection = affine_reflection(units.activation)
    if reflection is not None and reflection[2] != 0:
        note = "together they hold an affine function, which others may hold too"
        found = [
            Finding(units.layer.writers[0], pair, "opposite", "function", note)
            for pair in _opposite_pairs(units, list(range(units.count)))
        ]
    on = _always_on(units)
    if on:
        note = "the kink lies beyond the data: an affine function of the input"
        found.append(Finding(units.layer.writers[0], tuple(on), "always on", "these data", note))
    return found


def _always_on(units: Units) -> list[int]:
    """Units of a kinked homogeneous activation that never meet their kink."""
    if units.gated or units.layer.linear or not _homogeneous(units, 0):
        return []
    z = units.layer.written[0].transpose(0, units.layer.axis).flatten(1)
    live = units.outgoing.flatten(1).any(1)
    return [i for i in range(units.count) if bool(live[i]) and 0 < float(z[i].min()) < float(z[i].max())]


def _merge_always_on(units: Units) -> bool:
    """Replace k units that are affine on the data by as many as their joint map has rank."""
    on = _always_on(units)
    if len(on) < 2 or units.layer.after or isinstance(units.reader, nn.Conv2d) or units.writers[0].bias is None:
        return False
    rows, out = units.incoming[0][on], units.outgoing[on][:, :, 0]
    left, values, right = torch.linalg.svd(out.T @ rows[:, :-1], full_matrices=False)
    rank = max(1, int((values > 1e-12 * values[0]).sum()))
    if rank >= len(on):
        return False
    z = units.layer.written[0].transpose(0, units.layer.axis).flatten(1)[on]
    # the new units are combinations of the old ones, lifted until they stay on
    mix = torch.linalg.lstsq(rows[:, :-1].T, right[:rank].T).solution.T
    moved = mix @ z
    lift = _ON * (moved.amax(1) - moved.amin(1)) - moved.amin(1)
    kept = on[:rank]
    bias = out.T @ rows[:, -1] - (left[:, :rank] * values[:rank]) @ (mix @ rows[:, -1] + lift)
    units.incoming[0][kept] = torch.cat([right[:rank], (mix @ rows[:, -1] + lift)[:, None]], 1)
    units.outgoing[kept] = (left[:, :rank] * values[:rank]).T[:, :, None]
    units.add_bias(bias)
    units.keep([i for i in range(units.count) if i not in on[rank:]])
    return True


def _product_plan(units: Units) -> list[Step]:
    if isinstance(units.writers[0], nn.Conv2d) or isinstance(units.reader, nn.Conv2d):
        return []
    rank = len(_product(units)[1])
    if rank >= units.count:
        return []
    everything = tuple(range(units.count))
    note = f"the product of the two layers has rank {rank}, and {units.count} units hold it"
    return [Step(Finding(units.layer.writers[0], everything, "rank-deficient product", "function", note), ())]


def _product(units: Units) -> tuple[Tensor, Tensor, Tensor]:
    left, values, right = torch.linalg.svd(units.outgoing[:, :, 0].T @ units.incoming[0][:, :-1], full_matrices=False)
    rank = int((values > 1e-10 * values[0]).sum()) if float(values[0]) > 0 else 0
    return left[:, :rank], values[:rank], right[:rank]


def _reduce_product(units: Units) -> bool:
    """Give a product of two linear layers as many units as it has rank, one at least."""
    if not _product_plan(units):
        return False
    left, values, right = _product(units)
    width = max(1, len(values))
    if width == units.count:
        return False
    bias = units.outgoing[:, :, 0].T @ units.incoming[0][:, -1]
    units.incoming[0][:] = 0
    units.outgoing[:] = 0
    units.incoming[0][: len(values), :-1] = values.sqrt()[:, None] * right
    units.outgoing[: len(values), :, 0] = (left * values.sqrt()).T
    units.add_bias(bias)
    units.keep(list(range(width)))
    return True


def _incoming(module: Layer) -> Tensor:
    weight = module.weight.detach().flatten(1)
    bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach()
    return torch.cat([weight, bias[:, None]], 1)


def _set_sizes(module: Layer, *, outputs: int | None = None, inputs: int | None = None) -> None:
    for names, size in ((("out_features", "out_channels"), outputs), (("in_features", "in_channels"), inputs)):
        if size is not None:
            setattr(module, names[isinstance(module, nn.Conv2d)], size)


def _as_pair(padding: object) -> tuple[int, ...]:
    return padding if isinstance(padding, tuple) else (0 if padding == "valid" else 1,)
