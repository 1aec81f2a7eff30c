"""The local learning coefficient from a trace: mean form, variance form, sensitivity, and the verdict."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slt._checks import require_integer
from slt._statistics import between_chains, block_means, drift, ess, mcse, rhat, slow
from slt.errors import NoDrawsError, SettingsError
from slt.estimators import judges
from slt.estimators.estimate import Estimate
from slt.estimators.verdict import Finding, Problem, Verdict
from slt.trace import Trace

Array = NDArray[np.floating]

# Batch noise is new in each draw and hides slow variation, which block means reveal. Fifty blocks keep the halves that
# R-hat compares long enough; with few chains more blocks are needed, or the ess is always too small.
_BLOCKS_IN_ALL = 400
_BLOCKS_OF_A_CHAIN = (50, 200)
# Length of the stretches whose mean and spread show whether minibatch losses lie below L(w*), and the number of errors
# required: of several hundred stretches, each a Student t with 24 degrees of freedom, one passes 6 errors in about
# 1,000 runs.
_STRETCH = 25
_STRETCH_ERRORS = 6.0
_NORMAL = 1.96  # the limit of the quantile of Student's t
# The sensitivity is computed only for values this many errors above zero.
_CLEAR_ERRORS = 3.0
# Rounding in a loss, and in the sums behind it, can change it by this many units in the last place.
_ROUNDING_UNITS = 8.0
_EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def llc(trace: Trace, *, burn_in: int | None = None) -> Estimate:
    r"""Local learning coefficient :math:`n\beta\,(\mathbb{E}[L_n(w)] - L_n(w^*))` (Lau et al., 2023).

    The mean is over all draws of all chains that stayed finite. Its error accounts for autocorrelation, for
    differences between chains and, where losses are over minibatches, for slow variation hidden by batch noise. The
    estimate also has the variance form, the sensitivity to the localization, and a verdict.

    Args:
        trace: Draws with the loss above L_n(w*) in nats, dims (chain, draw).
        burn_in: Number of draws to leave out at the start of each chain. None uses `trace.settings["burn_in"]`, which
            `slt.estimate_llc` writes, and leaves out nothing if the trace has no such setting.

    Returns:
        The estimate, at the nbeta and the localization of the trace.

    Raises:
        SettingsError: If `burn_in` leaves no draws.
        NoDrawsError: If the trace has no draws, or every chain was excluded.

    >>> nbeta, rng = 100.0, np.random.default_rng(0)
    >>> trace = Trace.from_arrays(  # a quadratic loss in 6 directions, whose exact value is 3
    ...     posterior={"excess": rng.chisquare(6, size=(4, 2000)) / (2 * nbeta)},
    ...     sample_stats={},
    ...     constant_data={
    ...         "n": 500, "nbeta": nbeta, "dimension": 6, "loss_center": 0.7, "alive": np.ones(4, bool)
    ...     },
    ...     settings={
    ...         "unadjusted": False, "full_data": True, "localization": 1.0, "localization_zero": False
    ...     },
    ... )
    >>> estimate = llc(trace)
    >>> low, high = estimate.interval()
    >>> low < 3 < high, estimate.verdict.ok
    (True, True)
    """
    found = trace.settings.get("burn_in", trace.settings.get("way_in", 0))  # its name in older traces
    skipped = found if burn_in is None else require_integer("burn_in", burn_in, 0)
    if skipped and skipped >= trace.draws:
        raise SettingsError(f"burn_in must be less than the number of draws, {trace.draws}, got {skipped}.")
    draws = _living_draws(trace, skipped)
    energy = draws.nbeta * draws.series
    judged = judged_series(energy, draws.full_data)
    value = float(energy.mean())
    per_chain = np.full(trace.chains, np.nan)
    per_chain[draws.living] = energy.mean(axis=1)
    variance = variance_form(draws.nbeta * draws.excess) if draws.full_data else (None, None)
    error = standard_error(energy, draws.full_data)
    sensitivity = _sensitivity(draws) if value > _CLEAR_ERRORS * error else (None, None)
    estimate = Estimate(
        value=value,
        mcse=error,
        ess=ess(judged),
        rhat=rhat(judged),
        per_chain=per_chain,
        variance_value=variance[0],
        variance_mcse=variance[1],
        sensitivity=sensitivity[0],
        sensitivity_mcse=sensitivity[1],
        verdict=Verdict(),
        settings=draws.settings | {"burn_in": skipped},
        trace=trace,
    )
    return replace(estimate, verdict=_judge(estimate, draws, energy, judged))


def least_relative_error(trace: Trace) -> float:
    """A lower bound on the half-width of the 95 % interval of `llc(trace)` over |value|, at a tenth of the cost.

    Args:
        trace: As for `llc`.

    Returns:
        A share of the value; inf where the value is zero or no error can be computed.
    """
    draws = _living_draws(trace, 0)
    value, error = float(draws.series.mean()), standard_error(draws.series, draws.full_data)
    return _NORMAL * error / abs(value) if value and not np.isnan(error) else np.inf


def judged_series(x: Array, full_data: bool) -> Array:
    """Series whose autocorrelation is not hidden by batch noise: the draws, or their block means.

    Args:
        x: Shape (chains, draws).
        full_data: Whether each draw is free of batch noise.

    Returns:
        Shape (chains, draws or blocks).
    """
    if full_data:
        return x
    return block_means(x, int(np.clip(_BLOCKS_IN_ALL // len(x), *_BLOCKS_OF_A_CHAIN)))


def standard_error(x: Array, full_data: bool) -> float:
    """Monte Carlo standard error of the mean: the larger of two estimates of it.

    One follows from the effective sample size. It is too small where chains are short, and where batch noise
    hides slow variation even in block means. The other is the spread of the chains' means, which has neither
    fault, but is uncertain with few chains. Taking the larger widens the intervals of long runs by 3 to 10 %.

    Args:
        x: Shape (chains, draws).
        full_data: Whether each draw is free of batch noise.

    Returns:
        An error in the units of `x`, or nan with fewer than 4 draws and for draws that are all the same.
    """
    error = mcse(judged_series(x, full_data))
    return error if np.isnan(error) else float(np.fmax(error, between_chains(x)))


def variance_form(energy: Array) -> tuple[float, float]:
    r"""The variance of :math:`n\beta L`, which estimates the llc without L(w*), and its standard error.

    .. math:: \operatorname{Var}(n\beta L) = \lambda_n - \frac{d\lambda_n}{d\log n\beta},
              \qquad \lambda_n = n\beta\,\mathbb{E}[L - L(w^*)]

    (the derivative of a mean under a tempered law), so it equals the llc where the llc does not change with nbeta.
    The error is that of the mean of the squared deviations; estimating their centre does not matter to first order.

    Args:
        energy: nbeta times the excess, shape (chains, draws), over all data in each draw.

    Returns:
        Value and standard error, numbers without unit; the error nan as in `standard_error`.

    >>> value, error = variance_form(np.random.default_rng(0).gamma(2.0, size=(4, 5000)))
    >>> abs(value - 2.0) < 3 * error
    True
    """
    deviation = (energy - energy.mean()) ** 2
    return float(deviation.mean()), standard_error(deviation, full_data=True)


def localization_sensitivity(energy: Array, prior_energy: Array, full_data: bool) -> tuple[float, float]:
    r"""Sensitivity of the llc to the localization, and its standard error.

    .. math:: s = \frac{d \log \lambda_n}{d \log \gamma}
                = -\frac{\operatorname{Cov}(n\beta K, P)}{\mathbb{E}[n\beta K]},
              \qquad P = \tfrac12 \sum_i \gamma_i (w_i - w^*_i)^2

    since P is the derivative of the potential by log(gamma). The error is that of the linearized ratio.

    Args:
        energy: nbeta times the excess, shape (chains, draws), with a positive mean.
        prior_energy: P of the same draws, shape (chains, draws).
        full_data: Whether each draw is free of batch noise.

    Returns:
        s and its standard error, numbers without unit.
    """
    mean = energy.mean()
    product = (energy - mean) * (prior_energy - prior_energy.mean())
    s = -product.mean() / mean
    influence = -(product + s * energy) / mean
    return float(s), standard_error(influence, full_data)


def sensitivity_by_virial(energy: Array, loss_virial: Array) -> tuple[float, float]:
    r"""The same sensitivity from the loss alone, for exact samplers on all data, and its standard error.

    .. math:: s = -\frac{\mathbb{E}[Q] - \operatorname{Cov}(n\beta K, Q)}{2\, \mathbb{E}[n\beta K]},
              \qquad Q = n\beta\, (w - w^*) \cdot \nabla L

    which follows from Cov(nbeta K, Q + 2 P) = E[Q], by integration by parts. P includes all parameters, many of which
    may not affect the loss, and their noise hides its covariance with the loss; Q has no such noise.

    Args:
        energy: nbeta times the excess, shape (chains, draws), with a positive mean.
        loss_virial: Q of the same draws, shape (chains, draws).

    Returns:
        s and its standard error, numbers without unit.

    >>> energy = np.random.default_rng(0).gamma(1.5, 0.1, size=(4, 5000))  # a quadratic dominated by its localizer
    >>> s, error = sensitivity_by_virial(energy, 2 * energy)
    >>> abs(s + 0.9) < 3 * error < 0.02
    True
    """
    mean = energy.mean()
    product = (energy - mean) * (loss_virial - loss_virial.mean())
    s = -(loss_virial.mean() - product.mean()) / 2 / mean
    influence = -((loss_virial - product) / 2 + s * energy) / mean
    return float(s), standard_error(influence, full_data=True)


def depth(excess: Array, full_data: bool) -> float:
    """A lower bound on how far the chains came below L(w*), in nats; 0 if they did not.

    With all data in each step the lowest draw is the bound. With minibatches it is the mean of a stretch of draws that
    is below zero by more than batch noise explains: a short stretch for chains that pass through a low region, the
    whole chain for those that stay in one.

    Args:
        excess: Shape (chains, draws), nats.
        full_data: Whether each draw is free of batch noise.

    Returns:
        Nats, >= 0.
    """
    if full_data:
        return max(0.0, -float(excess.min()))
    chains, draws = excess.shape
    deepest = 0.0
    for length in (_STRETCH, draws) if draws >= _STRETCH else ():
        stretches = excess[:, : draws - draws % length].reshape(chains, -1, length)
        noise = stretches.std(axis=2, ddof=1) / np.sqrt(length)
        deepest = max(deepest, -float((stretches.mean(axis=2) + _STRETCH_ERRORS * noise).min()))
    return deepest


class _Draws(NamedTuple):
    """The draws of the living chains, unpacked."""

    living: NDArray[np.bool_]
    """Which chains of the trace, (chains,)."""
    excess: Array
    """At the draws, (living, draws)."""
    series: Array
    """The mean over the steps of each draw if draws are thinned, which knows more; else `excess`."""
    beside: dict[str, NDArray[Any]]
    """What else was recorded of each draw, (living, draws) each."""
    settings: dict[str, Any]
    full_data: bool
    nbeta: float


def _living_draws(trace: Trace, skipped: int) -> _Draws:
    excess = trace.get("posterior", "excess").astype(float)
    thinned = "excess_mean" in trace.names("sample_stats")
    series = trace.get("sample_stats", "excess_mean").astype(float) if thinned else excess
    living = trace.alive & np.isfinite(excess).all(axis=1) & np.isfinite(series).all(axis=1)
    if trace.draws == 0:
        raise NoDrawsError("an estimate needs draws, and this trace has none. Sample with draws >= 1.", trace)
    if not living.any():
        raise NoDrawsError(
            f"an estimate needs a chain that stayed finite; all {trace.chains} chains of this trace, with "
            f"{trace.draws} draws each, blew up and were left out. Use a smaller step size or a stronger localization; "
            "the draws are in .trace.",
            trace,
        )
    beside = {
        name: trace.get(group, name)[living, skipped:]
        for group in ("posterior", "sample_stats")
        for name in trace.names(group)
    }
    if "surplus" in beside and np.isnan(beside["surplus"]).all():
        del beside["surplus"]  # a sampler that cannot estimate its step bias
    settings = trace.settings
    full_data = bool(settings["full_data"])
    counted = excess[living, skipped:], series[living, skipped:]
    return _Draws(living, *counted, beside, settings, full_data, trace.nbeta)


def _sensitivity(draws: _Draws) -> tuple[float, float] | tuple[None, None]:
    if "prior_energy" not in draws.beside or draws.settings["localization_zero"]:
        return None, None
    energy, prior_energy = draws.nbeta * draws.excess, draws.beside["prior_energy"].astype(float)
    found = localization_sensitivity(energy, prior_energy, draws.full_data)
    one_point = "virial" in draws.beside and "excess_mean" not in draws.beside  # not the mean of several steps
    if one_point and draws.full_data and not draws.settings["unadjusted"]:
        by_virial = sensitivity_by_virial(energy, draws.beside["virial"].astype(float) - 2 * prior_energy)
        return by_virial if by_virial[1] < found[1] else found
    return found


def _judge(estimate: Estimate, draws: _Draws, energy: Array, judged: Array) -> Verdict:
    """Run every check whose input was recorded."""
    value, mcse, settings, beside = estimate.value, estimate.mcse, draws.settings, draws.beside
    chains, counted = np.flatnonzero(draws.living), draws.excess.shape[1]
    unit = _unit(settings) * draws.nbeta * abs(estimate.trace.loss_center)  # of the energy, where it is rounded
    rounding = _ROUNDING_UNITS * unit
    # without batch noise a mean over steps would hide the lowest of them; with batch noise the mean is needed
    below = draws.nbeta * depth(draws.excess if draws.full_data else draws.series, draws.full_data)
    found = [
        judges.judge_living(draws.living),
        judges.judge_movement(chains, draws.excess, beside.get("distance")),
        judges.judge_draws(estimate.ess, counted, len(chains)),
        judges.judge_convergence(estimate.rhat),
        judges.judge_drift(drift(judged), value, mcse),
        judges.judge_slow(slow(energy), counted, value),
        judges.judge_center(below, rounding, value, mcse, draws.nbeta),
        judges.judge_localization_zero(bool(settings["localization_zero"])),
    ]
    if settings.get("hot_start"):
        hot = estimate.trace.get("constant_data", "hot").astype(bool)[draws.living]
        if hot.any() and not hot.all():
            means = [(float(x.mean()), standard_error(x, draws.full_data)) for x in (energy[~hot], energy[hot])]
            found.append(judges.judge_starts(*means[0], *means[1]))
    if not settings["unadjusted"]:
        # Metropolis chains stay where rounding came out low: an error of variance s^2 takes s^2 off the mean energy.
        found.append(judges.judge_rounding(-(unit**2) / 12, value))
    if settings["unadjusted"] and "surplus" in beside:
        # on a quadratic the surplus of the virial is twice the bias of the llc
        found.append(judges.judge_step_bias(float(beside["surplus"].mean()) / 2, value))
    if "virial" in beside and not settings["localization_zero"]:
        expected = estimate.trace.dimension + (float(beside["surplus"].mean()) if "surplus" in beside else 0.0)
        virial, error = float(beside["virial"].mean()), standard_error(beside["virial"], draws.full_data)
        found.append(judges.judge_equilibrium(virial, error, expected, value))
    if "felt" in beside and np.isfinite(beside["felt"]).all():
        due = float(estimate.trace.get("constant_data", "felt_expected"))
        felt, error = float(beside["felt"].mean()), standard_error(beside["felt"], draws.full_data)
        found.append(judges.judge_felt(felt, error, due, value, mcse))
    if not settings["unadjusted"] and "acceptance_rate" in beside:
        found.append(judges.judge_acceptance(chains, beside["acceptance_rate"].mean(axis=1), draws.excess))
    if "diverging" in beside:
        found.append(judges.judge_diverging(chains, beside["diverging"].mean(axis=1), draws.excess))
    if estimate.sensitivity is not None and estimate.sensitivity_mcse is not None:
        settled = all(verdict.ok for verdict in found)
        found.append(judges.judge_localization(estimate.sensitivity, estimate.sensitivity_mcse, settled))
    if estimate.variance_value is not None and estimate.variance_mcse is not None:
        others = frozenset(finding.kind for verdict in found for finding in verdict.problems)
        noted = frozenset(finding.kind for verdict in found for finding in verdict.notes)
        found.append(judges.judge_forms(value, mcse, estimate.variance_value, estimate.variance_mcse, others, noted))
    found.append(judges.judge_records(_unrecorded(draws)))
    found += [Verdict(notes=(Finding(Problem.REMARK, str(text)),)) for text in settings.get("notes", ())]
    return Verdict.join(found)


def _unrecorded(draws: _Draws) -> list[str]:
    """Names of the arrays that checks need and the trace does not have."""
    needed = ["distance", "surplus" if draws.settings["unadjusted"] else "acceptance_rate"]
    if not draws.settings["localization_zero"]:
        needed.append("prior_energy")
    return [name for name in needed if name not in draws.beside]


def _unit(settings: dict[str, Any]) -> float:
    """Relative rounding unit of the mean loss."""
    # Where the model's own type is coarser than the state's, the mean over examples rounds less than that type. A trace
    # that names no type was made by hand, from float32 numbers.
    held = settings.get("state_dtype", settings.get("dtype", "float32"))
    return _EPSILON.get(held, _EPSILON["float32"])
