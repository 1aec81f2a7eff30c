"""The roof of the room: one call that measures, sorts and bounds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slt.degeneracy.bounds import Bounds, Localized, is_minimum, localized, newton_gain, precision_of
from slt.degeneracy.causes import (
    DATA,
    UNRESOLVED,
    Cause,
    findings_of,
    sort_null_space,
)
from slt.degeneracy.certificates import certify, left_out
from slt.degeneracy.explanation import Explanation
from slt.degeneracy.flatness import dense_flatness, probed_flatness
from slt.degeneracy.function import Function, FunctionName, Inputs, Network, exact
from slt.degeneracy.hessian import Curvature
from slt.degeneracy.higher_order import LARGEST, Form, HigherOrder, kinks, sort_by_order
from slt.degeneracy.jacobian import DENSE, fresh_kernel, null_space
from slt.degeneracy.linalg import Kernel, span
from slt.degeneracy.memory import require_explanation
from slt.degeneracy.spectrum import SpectralCurve, eigenvalues, lanczos, spectral_curve
from slt.degeneracy.symmetry import Generator, Generators, known_generators
from slt.degeneracy.target import target_of
from slt.degeneracy.zeros import LOSS_STEP, Zeros, manifold_of_zeros
from slt.errors import SettingsError
from slt.estimators import Estimate
from slt.problem import Problem, untouched
from slt.problem.parameters import Selection
from slt.problem.slopes import require_own_gradient

_ZERO = 1e-12  # of the largest eigenvalue in modulus: what is below counts as zero
_HIGHER_NULLITY = 600  # null directions up to which their order of growth is taken
_GN_PROBES = 3  # random vectors on which H is compared with its Gauss-Newton part
_CURVE_STEPS, _CURVE_PROBES = 20, 3


def explain(
    model: nn.Module,
    data: Any,
    loss: Any,
    *,
    function: FunctionName | Function | None = None,
    parameters: Selection = None,
    llc: Estimate | None = None,
) -> Explanation:
    r"""Say where the degeneracy of a trained model comes from.

    The null space of the Jacobian of a function on the data is sorted, in this order: symmetries (positive rescaling of
    ReLU units, products of linear layers), null on these data only, named reducible units, flat to fourth order,
    quartic, unresolved. Curvature and the zeros that were proven bound the learning coefficient lambda:

    .. math:: \tfrac12 \operatorname{rank} H \le \lambda \le \tfrac12 (P - \dim Z)

    for an interior local minimum of a loss of class C^3 near it, and any manifold Z of minimisers through it.
    Everything is computed in float64. Up to 12,000 moving entries the Jacobian is decomposed whole, up to 4,000 the
    Hessian too and the order of growth is taken; beyond, nulls are certified layer by layer and the spectrum is a curve
    with its resolution. Memory is checked before the work.

    Args:
        model: The model at w*; bit-identical afterwards.
        data: See `slt.LocalPosterior`; it must fit in memory as tensors.
        loss: Likewise.
        function: Whose null directions: "logits" or "log_probs" of what the model returns where the loss calls it, a
            function of (model, batch), or None: the outputs for squared errors, the log-probabilities for
            cross-entropies, the loss itself (its Hessian) for a loss of your own.
        parameters: Which parameters move; see `slt.LocalPosterior`.
        llc: An estimate of the learning coefficient of the same weights, to be put beside what its localizer makes of
            the quadratic part.

    Returns:
        The explanation, which prints as a table.

    Raises:
        SettingsError: If memory would not suffice, or float64 is not kept.
        InputError: If model, data or loss cannot be used.

    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    >>> x = 2 * torch.randn(100, 2).double()
    >>> found = explain(net, (x, net(x).detach()), "mse")
    >>> found.nullity, found.total("symmetry"), str(found.bounds).partition(";")[0]
    (3, 3, 'lambda = 5 (the bounds meet)')
    """
    if not isinstance(model, nn.Module):
        raise SettingsError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    problem = Problem(model, data, loss, parameters=parameters)
    return explain_problem(problem, function=function, llc=llc, generators=known_generators)


def explain_problem(
    problem: Problem,
    *,
    function: FunctionName | Function | None = None,
    llc: Estimate | None = None,
    generators: Generators = known_generators,
) -> Explanation:
    """Explain a problem with any source of symmetries; see `explain`.

    Args:
        problem: Model, data, loss and moving parameters.
        function: See `explain`.
        llc: See `explain`.
        generators: Who knows the symmetries.

    Returns:
        The explanation.
    """
    dimension = problem.dimension
    inputs = Inputs(problem.examples.take(torch.arange(problem.n, device="cpu")))
    target = target_of(problem.loss, function)
    with untouched(problem.model):
        require_own_gradient(problem)
    with exact(problem.model):
        curvature = Curvature(problem)
        if target is None:
            network, name = curvature.network, "loss"
        else:
            network, name = curvature.network.with_function(target[0]), target[1]
        subject = _Subject(
            problem, curvature, network, inputs, name, target is None, target is not None and function is None
        )
        subject.width = network.check(inputs.take(0, min(2, inputs.n))).numel()
        require_explanation(curvature, dense=dimension <= DENSE, steps=2 * _CURVE_STEPS)
        spectrum = _spectrum(subject)
        if dimension > DENSE:
            return _large(subject, spectrum, llc)
        return _small(subject, spectrum, llc, generators)


@dataclass
class _Subject:
    """What is explained."""

    problem: Problem
    curvature: Curvature
    network: Network
    inputs: Inputs
    name: str
    by_loss: bool
    natural: bool
    width: int = 1

    @property
    def dimension(self) -> int:
        return self.network.dimension


@dataclass
class _Spectrum:
    """What is known of H."""

    hessian: Tensor | None
    values: np.ndarray[Any, Any] | None
    curve: SpectralCurve | None
    gradient: Tensor
    gain: float | None
    gauss_newton: bool | None

    @property
    def lowest(self) -> float:
        if self.values is not None:
            return float(self.values[0])
        assert self.curve is not None, "either all eigenvalues are known or their curve"
        return self.curve.lowest

    @property
    def highest(self) -> float | None:
        return None if self.values is None else float(self.values[-1])

    @property
    def rank(self) -> int | None:
        if self.values is None:
            return None
        size = np.abs(self.values)
        return int((size > _ZERO * size.max()).sum()) if size.max() > 0 else 0

    @property
    def minimum(self) -> bool | None:
        if self.values is None or self.gain is None:
            return None
        return is_minimum(self.gain, self.lowest, float(self.values[-1]))


def _spectrum(subject: _Subject) -> _Spectrum:
    curvature, problem = subject.curvature, subject.problem
    gradient = curvature.gradient()
    gauss_newton = _is_gauss_newton(curvature) if curvature.splits else None
    if subject.dimension > LARGEST:
        curve = spectral_curve(curvature.hessian_product, subject.dimension, steps=_CURVE_STEPS, probes=_CURVE_PROBES)
        return _Spectrum(None, None, curve, gradient, None, gauss_newton)
    hessian = curvature.dense_hessian()
    values = eigenvalues(hessian)
    gain = newton_gain(gradient, hessian, float(values[-1]), problem.n)
    return _Spectrum(hessian, values, None, gradient, gain, gauss_newton)


def _is_gauss_newton(curvature: Curvature) -> bool:
    """Whether H is its Gauss-Newton part at w*, as where the data are fitted exactly."""
    generator = torch.Generator("cpu").manual_seed(13)
    for _ in range(_GN_PROBES):
        v = torch.randn(curvature.dimension, generator=generator, dtype=torch.float64, device="cpu")
        v = v.to(curvature.network.center.device)
        h, g = curvature.hessian_product(v), curvature.ggn_product(v)
        if float((h - g).norm()) > 1e-9 * max(float(g.norm()), 1e-300):
            return False
    return True


def _small(subject: _Subject, spectrum: _Spectrum, llc: Estimate | None, generators: Generators) -> Explanation:
    """Decompose whole."""
    network, inputs, notes = subject.network, subject.inputs, list(subject.problem.notes)
    kinked = kinks(subject.curvature.network, inputs)
    found = _kernel(subject, spectrum)
    known = generators(network, inputs)
    fresh = None if subject.by_loss else fresh_kernel(network, inputs, found)
    zeros = _zeros(subject, found, known)
    order = _order(subject, found, zeros, kinked, notes)
    findings = [] if subject.by_loss else findings_of(network, inputs)
    within = found.basis if fresh is None else found.basis @ fresh.basis
    causes = sort_null_space(network, inputs, found.basis, within, known, findings, order)
    if fresh is not None and fresh.rank:
        notes.append(f"{fresh.rank} null directions are null on these data alone")
    if found.kept and found.dropped and found.kept / found.dropped < 1e3:
        notes.append("the gap between singular values counted and dropped is narrow: the rank is not clear")
    ggn_rank = _hessian_rank(subject, spectrum, found) if spectrum.gauss_newton else _ggn_rank(subject)
    return Explanation(
        dimension=subject.dimension,
        function=subject.name,
        rank=found.rank,
        gap=(found.kept, found.dropped),
        scope="function" if fresh is not None and fresh.rank == 0 else "these data",
        causes=causes,
        quartic=None if order is None else order.quartic,
        sixth=None if order is None else order.sixth,
        bounds=_bounds(subject, spectrum, found, zeros, kinked),
        localized=_localized(subject, spectrum, llc, notes),
        flatness=(
            probed_flatness(subject.curvature, curve=spectrum.curve)
            if spectrum.hessian is None
            else dense_flatness(spectrum.hessian, network.center, spectrum.highest)
        ),
        hessian_rank=_hessian_rank(subject, spectrum, found),
        ggn_rank=ggn_rank,
        lowest=spectrum.lowest,
        gradient=float(spectrum.gradient.norm()),
        gain=spectrum.gain,
        eigenvalues=spectrum.values,
        curve=spectrum.curve,
        notes=notes,
    )


def _kernel(subject: _Subject, spectrum: _Spectrum) -> Kernel:
    """Rank and null space of the Jacobian, or of the Hessian where the loss itself serves."""
    if not subject.by_loss:
        return null_space(subject.network, subject.inputs, subject.width)
    if spectrum.hessian is None:
        raise SettingsError(
            f"a loss of your own is explained by its whole Hessian, of at most {LARGEST} entries, got "
            f"{subject.dimension}: hand over function=, or choose fewer with parameters=."
        )
    values, vectors = torch.linalg.eigh(spectrum.hessian)
    size = values.abs()
    largest = float(size.max())
    kept = size > _ZERO * largest if largest > 0 else torch.zeros_like(size, dtype=torch.bool)
    last = float(size[kept].min()) / largest if bool(kept.any()) else None
    first = float(size[~kept].max()) / largest if bool((~kept).any()) and largest > 0 else None
    return Kernel(int(kept.sum()), vectors[:, ~kept], largest, last, first, None)


def _order(subject: _Subject, found: Kernel, zeros: Zeros, kinked: list[str], notes: list[str]) -> HigherOrder | None:
    """The order of growth, or None with a note that says why not."""
    nullity = found.basis.shape[1]
    why = None
    if subject.by_loss:
        why = "it takes function=, since the loss itself serves here"
    elif zeros.dimension == nullity and not kinked:
        # tangent to zeros, so flat to every order: II(u, u) is what the curvature of f along Z leaves, which is nothing
        return HigherOrder(nullity, found.basis, 0, 0, nullity, True, (None, None)) if nullity else None
    elif subject.dimension > LARGEST:
        why = f"it takes at most {LARGEST} moving entries"
    elif nullity > _HIGHER_NULLITY:
        why = f"it takes at most {_HIGHER_NULLITY} null directions"
    elif kinked:
        why = f"the function is not smooth at w*: an input of {kinked[0]} lies on its kink"
    if nullity and why is not None:
        notes.append(f"the order of growth along null directions was not taken: {why}")
    if why is not None or not nullity:
        return None
    return sort_by_order(Form(subject.network, subject.inputs, found.basis), found.basis, found.basis)


def _zeros(subject: _Subject, found: Kernel, known: list[Generator]) -> Zeros:
    vectors = [g.vectors for g in known]
    orbit = span(torch.cat(vectors, 1)) if vectors else found.basis[:, :0]
    nearby = not subject.by_loss and subject.dimension <= LARGEST
    step = {"step": LOSS_STEP} if subject.by_loss else {}
    return manifold_of_zeros(subject.network, subject.inputs, found, orbit, rank_nearby=nearby, **step)


def _bounds(subject: _Subject, spectrum: _Spectrum, found: Kernel, zeros: Zeros, kinked: list[str]) -> Bounds:
    rank = _hessian_rank(subject, spectrum, found)
    conditions: dict[str, bool | None] = {
        "a local minimum": spectrum.minimum,
        "a loss that is smooth near it": not kinked,
    }
    return Bounds(
        lower=None if rank is None else rank / 2,
        upper=(subject.dimension - zeros.dimension) / 2,
        zeros=zeros.dimension,
        proof=zeros.proof,
        conditions=conditions,
    )


def _hessian_rank(subject: _Subject, spectrum: _Spectrum, found: Kernel) -> int | None:
    """Rank of H: that of J where H = J^T l'' J with l'' positive, since eigenvalues know it less sharply."""
    return found.rank if spectrum.gauss_newton and subject.natural else spectrum.rank


def _ggn_rank(subject: _Subject) -> int | None:
    """Rank of the Gauss-Newton matrix where it is small enough to be built column by column."""
    if not subject.curvature.splits or subject.dimension > LARGEST // 8:
        return None
    columns = [
        subject.curvature.ggn_product(e)
        for e in torch.eye(subject.dimension, dtype=torch.float64, device=subject.network.center.device)
    ]
    values = torch.linalg.eigvalsh(torch.stack(columns)).abs()
    return int((values > _ZERO * values.max()).sum())


def _localized(subject: _Subject, spectrum: _Spectrum, llc: Estimate | None, notes: list[str]) -> Localized | None:
    if llc is None:
        return None
    precision = precision_of(llc, {s.name: s.size for s in subject.network.segments})
    if precision is None or llc.trace.dimension != subject.dimension:
        notes.append("llc= is an estimate of other parameters than these: it is left out")
        return None
    if spectrum.hessian is not None:
        return localized(spectrum.hessian, llc, precision)
    return _localized_by_products(subject.curvature, llc, precision)


def _localized_by_products(curvature: Curvature, llc: Estimate, precision: Tensor) -> Localized:
    """The same trace of a smooth function of H by quadrature, with its error over the probes."""
    unit = precision.clamp_min(1e-10 * float(precision.max())).rsqrt() if bool((precision > 0).any()) else None
    nbeta, size = llc.trace.nbeta, curvature.dimension
    generator = torch.Generator("cpu").manual_seed(17)
    each = []
    for _ in range(_CURVE_PROBES):
        signs = torch.randint(2, (size,), generator=generator, device="cpu").double() * 2 - 1

        def product(v: Tensor) -> Tensor:
            return curvature.hessian_product(v) if unit is None else unit * curvature.hessian_product(unit * v)

        ritz, _, _ = lanczos(product, signs, 2 * _CURVE_STEPS)
        values = np.clip(ritz.values, 0, None) * nbeta
        each.append(size / 2 * float((ritz.weights * (values / (values + (0 if unit is None else 1)))).sum()))
    error = float(np.std(each, ddof=1)) / len(each) ** 0.5
    return Localized(float(np.mean(each)), nbeta, llc.value, llc.mcse, error)


def _large(subject: _Subject, spectrum: _Spectrum, llc: Estimate | None) -> Explanation:
    """Certify layer by layer, and draw the curve."""
    network, inputs, notes = subject.network, subject.inputs, list(subject.problem.notes)
    if subject.by_loss:
        raise SettingsError(
            f"a loss of your own is explained by its whole Hessian, of at most {LARGEST} entries, got "
            f"{subject.dimension}: hand over function=, or choose fewer with parameters=."
        )
    certificates = certify(network, inputs)
    nullity = sum(c.nullity for c in certificates)
    missed = left_out(network, certificates)
    if missed:
        notes.append(f"nothing was certified for {', '.join(missed)}: shared, read outside the layer, or held in part")
    notes.append(
        f"{subject.dimension:,} entries are too many for the whole Jacobian: what is certified is a part of the nulls"
    )
    causes = [
        Cause(
            UNRESOLVED if c.kind != "embedding" else DATA,
            str(c),
            c.nullity,
            None,
            {f"{c.layer}.weight": float(c.nullity)},
        )
        for c in certificates
        if c.nullity
    ]
    flatness = probed_flatness(subject.curvature, probes=4, steps=10, curve=spectrum.curve)
    return Explanation(
        dimension=subject.dimension,
        function=subject.name,
        rank=subject.dimension - nullity,
        gap=(None, None),
        scope="these data",
        causes=causes,
        quartic=None,
        sixth=None,
        bounds=Bounds(
            None,
            subject.dimension / 2,
            0,
            "none was looked for at this size",
            {"a local minimum": None, "a loss that is smooth near it": None},
        ),
        localized=_localized(subject, spectrum, llc, notes),
        flatness=flatness,
        hessian_rank=None,
        ggn_rank=None,
        lowest=spectrum.lowest,
        gradient=float(spectrum.gradient.norm()),
        gain=None,
        curve=spectrum.curve,
        certificates=certificates,
        notes=notes,
    )
