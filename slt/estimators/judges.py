"""The checks behind a verdict, one function each, and all their thresholds.

Each function takes numbers and returns a `Verdict` with at most one finding. A number that is nan because it
could not be computed is ignored here: its cause, too few draws, is a problem of its own.
"""

import numpy as np
from numpy.typing import NDArray

from slt._statistics import Drift, Slow
from slt.estimators.verdict import Finding, Problem, Verdict

Array = NDArray[np.floating]

# A chain that explores varies like the others; sampling alone does not make spreads differ tenfold.
FROZEN_SPREAD = 0.1
# Samplers aim at acceptances of 0.6 to 0.95; below this a chain stands still most of the time.
FROZEN_ACCEPTANCE = 0.1
# With many chains a few may be in a narrow region when the run ends, and are valid draws from it. So chains that hardly
# move are a problem only if together they could change the estimate by this share.
FEW_CHAINS = 0.02
# Metropolis rejects what diverges, so the law stays right. HMC jitters its step on purpose and aims at accepting
# four fifths: where all is stiff the other fifth diverges (21 % on a quadratic). Where a chain loses half of its
# proposals only its shortest steps move it.
DIVERGING_NOTE = 0.3
DIVERGING_PROBLEM = 0.5
# Looser than the 1.01 recommended for published posteriors; half chains with ten effective draws or more pass.
RHAT = 1.05
# The drift must be significant, and must matter relative to the value, or to the run's own error, which excludes it.
DRIFT_ERRORS = 4.0
DRIFT_SHARE = 0.02
DRIFT_OWN_ERRORS = 2.0
# The slow part must be significant, and its spread must matter relative to the value.
SLOW_ERRORS = 4.0
SLOW_SHARE = 0.02
# The means of both kinds of chains must differ by a share of the value, which is the mean of the two. What is not yet
# certain is a note, for which a run goes on: half of a gap of four errors would be a bias of four errors of the value.
STARTS_PROBLEM = 4.0
STARTS_NOTE = 2.0
STARTS_SHARE = 0.02
# The mean of (w - w*) . grad U is the number of parameters. Chains start at w*, so slow directions keep it low, even
# where the energy is already level. The deficit must be significant, and half of it, which the value could still gain,
# must matter relative to the value.
VIRIAL_ERRORS = 3.0
VIRIAL_PROBLEM = 0.10  # of the law; flat directions that the loss does not feel may be slower than that
VIRIAL_NOTE = 0.05
# The same product along directions in which the loss is felt: half of a deficit is what they keep from the value, if
# they are slow. It must be there for certain, and matter beside the run's own error and as a share of the value.
FELT_ERRORS = 4.0
FELT_OWN_ERRORS = 2.0
FELT_PROBLEM = 0.01
# A bias that an error bar cannot show; the note starts where it is comparable to a good run's error.
STEP_BIAS_PROBLEM = 0.05
STEP_BIAS_NOTE = 0.02
# What rounding of the losses may do to the value.
ROUNDING_PROBLEM = 0.02
ROUNDING_NOTE = 0.005
# How far below L(w*) the chains came, as a share of the estimate, which is too low by at least that much.
DEPTH_PROBLEM = 0.05
DEPTH_NOTE = 0.005
# An llc is never negative; beyond this many errors below zero it is not noise.
NEGATIVE_ERRORS = 3.0
# s = d log llc / d log localization: at -0.2 twice the localization takes 13 % off the value. It is a note at any size:
# the draws and the interval are right for the localization that they were made at, which is part of the definition.
SENSITIVITY_NOTE = 0.2
# The excess of |s| must be this many of its errors.
SENSITIVITY_ERRORS = 2.0
# Where |s| is larger, a tangent cannot predict the value at twice the localization.
EXTRAPOLATED = 1.0
# With fewer draws the error itself is uncertain by more than a seventh, and R-hat and drift detect little.
ESS = 100.0
# Both must hold: the forms differ a little at any finite nbeta, and long runs see it.
FORMS_ERRORS = 4.0
FORMS_SHARE = 0.1


def judge_living(living: NDArray[np.bool_]) -> Verdict:
    """NON_FINITE_CHAIN if any chain was excluded."""
    if living.all():
        return Verdict()
    return _problem(Problem.NON_FINITE_CHAIN, f"{_share(np.flatnonzero(~living), len(living))}.")


def judge_movement(chains: NDArray[np.integer], excess: Array, distance: Array | None) -> Verdict:
    """FROZEN_CHAIN if a living chain stands still, or varies far less than the others.

    Args:
        chains: Numbers of the living chains, for the text.
        excess: Their excess, (living, draws).
        distance: Their distance from w*, (living, draws); it reveals a chain that stands still under batch noise.

    Returns:
        The finding, if any: a problem, or a note if so few chains cannot change the estimate.
    """
    spread = excess.std(axis=1)
    frozen = (np.ptp(excess, axis=1) == 0) | (spread < FROZEN_SPREAD * np.median(spread))
    if distance is not None:
        frozen |= np.ptp(distance, axis=1) == 0
    if not frozen.any():
        return Verdict()
    return _by_weight(Problem.FROZEN_CHAIN, f"{_share(chains[frozen], len(chains))}.", frozen, excess)


def judge_acceptance(chains: NDArray[np.integer], acceptance: Array, excess: Array) -> Verdict:
    """FROZEN_CHAIN if a living chain rejects nearly every step.

    Args:
        chains: Numbers of the living chains, for the text.
        acceptance: Their mean acceptance, (living,).
        excess: Their excess, (living, draws).

    Returns:
        The finding, if any: a problem, or a note if so few chains cannot change the estimate.
    """
    frozen = ~(acceptance >= FROZEN_ACCEPTANCE)
    if not frozen.any():
        return Verdict()
    detail = f"{_share(chains[frozen], len(chains))}; the lowest mean acceptance is {acceptance.min():.2g}."
    return _by_weight(Problem.FROZEN_CHAIN, detail, frozen, excess)


def judge_diverging(chains: NDArray[np.integer], diverging: Array, excess: Array) -> Verdict:
    """DIVERGING by the share of all proposals (a note), and by that of single chains.

    Args:
        chains: Numbers of the living chains, for the text.
        diverging: The share of each, (living,).
        excess: Their excess, (living, draws).

    Returns:
        The finding, if any: a problem if chains that lose most of their proposals could change the estimate.
    """
    worst = int(np.argmax(diverging))
    bad = diverging > DIVERGING_PROBLEM
    if not bad.any() and not diverging.mean() > DIVERGING_NOTE:
        return Verdict()
    detail = f"{diverging.mean():.1%} of all, {diverging[worst]:.1%} in chain {chains[worst]}."
    return _by_weight(Problem.DIVERGING, detail, bad, excess)


def judge_convergence(rhat: float) -> Verdict:
    """NOT_CONVERGED if R-hat is above `RHAT`."""
    if not rhat > RHAT:
        return Verdict()
    return _problem(Problem.NOT_CONVERGED, f"R-hat is {rhat:.4g}, above {RHAT}.")


def judge_drift(drift: Drift, value: float, mcse: float) -> Verdict:
    """DRIFT if late draws differ significantly from early ones, by an amount that matters to the value or its error."""
    matters = min(DRIFT_SHARE * abs(value), DRIFT_OWN_ERRORS * mcse)
    if not (abs(drift.errors) > DRIFT_ERRORS and abs(drift.shift) > matters):
        return Verdict()
    return _problem(
        Problem.DRIFT,
        f"the second half of the draws alone would change the estimate by {drift.shift:+.3g}, and it differs from the "
        f"early draws by {abs(drift.errors):.1f} standard errors.",
    )


def judge_slow(slow: Slow, draws: int, value: float) -> Verdict:
    """SLOW if a part of the energy that matters relaxes more slowly than the run lasted.

    Args:
        slow: The slowest part.
        draws: Number of draws of each chain.
        value: The estimate.

    Returns:
        The finding, if any.
    """
    certain = slow.errors > SLOW_ERRORS and slow.spread > SLOW_SHARE * abs(value)
    if not (certain and slow.time > draws):
        return Verdict()
    takes = f"needs about {slow.time:.3g} draws to relax" if np.isfinite(slow.time) else "does not relax"
    detail = f"a part of the energy with standard deviation {slow.spread:.3g} {takes}; each chain has {draws}."
    return _problem(Problem.SLOW, detail)


def judge_starts(cold: float, cold_error: float, hot: float, hot_error: float) -> Verdict:
    """STARTS_DISAGREE if chains from w* and chains from hot draws have different mean energies.

    Args:
        cold: Mean energy of the chains that started at w*; its error is `cold_error`.
        cold_error: See `cold`.
        hot: Mean energy of those that started hot; its error is `hot_error`.
        hot_error: See `hot`.

    Returns:
        The finding, if any: a problem where the difference is certain, else a note.
    """
    gap, error = abs(cold - hot), np.hypot(cold_error, hot_error)
    if not (gap > STARTS_NOTE * error and gap > STARTS_SHARE * abs(cold + hot) / 2):
        return Verdict()
    detail = f"from w* {cold:.4g} +- {cold_error:.2g}, from hot draws {hot:.4g} +- {hot_error:.2g}."
    finding = Finding(Problem.STARTS_DISAGREE, detail)
    return Verdict(problems=(finding,)) if gap > STARTS_PROBLEM * error else Verdict(notes=(finding,))


def judge_equilibrium(virial: float, mcse: float, expected: float, value: float) -> Verdict:
    """NOT_EQUILIBRATED if the mean virial differs significantly from its law, by an amount that could matter.

    Args:
        virial: Mean of (w - w*) . grad U.
        mcse: Its standard error.
        expected: Number of moving parameters, plus the surplus that the step size adds.
        value: The estimate.

    Returns:
        The verdict.
    """
    gap = abs(virial - expected)
    if not (gap > VIRIAL_ERRORS * mcse and gap > VIRIAL_NOTE * max(expected, 2 * abs(value))):
        return Verdict()
    detail = f"the mean of (w - w*) . grad U is {virial:.4g} +- {mcse:.2g}, and should be {expected:.4g}."
    finding = Finding(Problem.NOT_EQUILIBRATED, detail)
    return Verdict(problems=(finding,)) if gap > VIRIAL_PROBLEM * expected else Verdict(notes=(finding,))


def judge_felt(virial: float, error: float, expected: float, value: float, mcse: float) -> Verdict:
    """NOT_EQUILIBRATED if the directions in which the loss is felt have not settled, by what matters to the value.

    Args:
        virial: Mean of s (w - w*) . grad U along these directions, s the loss's share in the curvature of each.
        error: Its standard error.
        expected: Its mean under the posterior, the sum of s.
        value: The estimate; its error is `mcse`.
        mcse: See `value`.

    Returns:
        The problem, if any.
    """
    gap = expected - virial
    missed = abs(gap) / 2
    matters = missed > max(FELT_OWN_ERRORS * mcse, FELT_PROBLEM * abs(value))
    if not (abs(gap) > FELT_ERRORS * error and matters):
        return Verdict()
    return _problem(
        Problem.NOT_EQUILIBRATED,
        f"along the directions that the loss depends on, the mean of (w - w*) . grad U is {virial:.4g} +- {error:.2g}, "
        f"and should be {expected:.4g}. The estimate may still change by about {gap / 2:+.2g}.",
    )


def judge_rounding(bias: float, value: float) -> Verdict:
    """ROUNDING by the share that the bias from rounded losses may have in the value.

    Args:
        bias: What rounding of the losses may do to the value, where no mean over examples makes it less.
        value: The estimate.

    Returns:
        The finding, if any: a problem or a note by its share of the value.
    """
    share = abs(bias / value) if value else 0.0
    if not share > ROUNDING_NOTE:
        return Verdict()
    finding = Finding(Problem.ROUNDING, f"this may change the estimate by up to about {bias:.2g}.")
    return Verdict(notes=(finding,)) if share <= ROUNDING_PROBLEM else Verdict(problems=(finding,))


def judge_step_bias(bias: float, value: float) -> Verdict:
    """STEP_BIAS by the bias as a share of the value; also a problem if that is not a number."""
    share = abs(bias / value) if value else np.inf
    if share <= STEP_BIAS_NOTE:
        return Verdict()
    finding = Finding(Problem.STEP_BIAS, f"by about {bias:+.3g} in {value:.4g}, which is {100 * share:.1f} %.")
    return Verdict(notes=(finding,)) if share <= STEP_BIAS_PROBLEM else Verdict(problems=(finding,))


def judge_center(depth: float, rounding: float, value: float, mcse: float, nbeta: float) -> Verdict:
    """NOT_A_MINIMUM if the chains came below L(w*) by more than rounding, or the value is below zero.

    Args:
        depth: nbeta times a lower bound on how far the chains came below L(w*); 0 if they did not.
        rounding: nbeta times the largest effect of rounding in the losses.
        value: The estimate.
        mcse: Its standard error.
        nbeta: Inverse temperature times n, in 1/nats.

    Returns:
        The finding, if any: a problem or a note by its share of the value.
    """
    below_zero = value < -rounding and not value >= -NEGATIVE_ERRORS * mcse
    if below_zero:
        depth = max(depth, -value)
    share = depth / value if value > 0 else np.inf
    if not below_zero and not (depth > rounding and share > DEPTH_NOTE):
        return Verdict()
    finding = Finding(
        Problem.NOT_A_MINIMUM,
        f"the chains found a loss lower by at least {depth / nbeta:.3g} nats, which makes the estimate too low by at "
        f"least {depth:.3g}.",
    )
    return Verdict(problems=(finding,)) if share > DEPTH_PROBLEM else Verdict(notes=(finding,))


def judge_localization(sensitivity: float, mcse: float, settled: bool = True) -> Verdict:
    """LOCALIZATION_DECIDES if the sensitivity is large beyond its error.

    Args:
        sensitivity: d log(llc) / d log(localization).
        mcse: Its standard error.
        settled: Whether no other problem was found, so that an extrapolation is justified.

    Returns:
        The note, if any.
    """
    beyond = abs(sensitivity) - SENSITIVITY_ERRORS * mcse
    if not beyond > SENSITIVITY_NOTE:
        return Verdict()
    if not settled:
        said = "which should not be extrapolated, because the draws have other problems"
    elif abs(sensitivity) > EXTRAPOLATED:
        said = "which is too steep to be extrapolated"
    else:
        said = f"so doubling the localization would change the estimate by about {2**sensitivity - 1:+.0%}"
    detail = f"d log(llc) / d log(localization) is {sensitivity:.2f} +- {mcse:.1g}, {said}."
    return Verdict(notes=(Finding(Problem.LOCALIZATION_DECIDES, detail),))


def judge_localization_zero(zero: bool) -> Verdict:
    """LOCALIZATION_ZERO if every precision is 0."""
    return _problem(Problem.LOCALIZATION_ZERO, "every precision is 0.") if zero else Verdict()


def judge_draws(ess: float, draws: int, chains: int) -> Verdict:
    """TOO_FEW_DRAWS if the effective sample size is below `ESS`, or could not be computed."""
    if ess >= ESS:
        return Verdict()
    effective = "an unknown number of" if np.isnan(ess) else f"{ess:.0f}"
    return _problem(
        Problem.TOO_FEW_DRAWS,
        f"{_counted(chains, 'chain')} with {_counted(draws, 'draw')} each gave {effective} effective draws; at least "
        f"{ESS:.0f} are needed.",
    )


def judge_forms(
    value: float,
    mcse: float,
    variance_value: float,
    variance_mcse: float,
    others: frozenset[Problem] = frozenset(),
    noted: frozenset[Problem] = frozenset(),
) -> Verdict:
    """FORMS_DISAGREE if mean and variance form differ significantly and by a share that matters.

    Args:
        value: The mean form.
        mcse: Its standard error.
        variance_value: The variance form.
        variance_mcse: Its standard error.
        others: The kinds of the other problems of the run, which decide which form to use.
        noted: The kinds of its other notes.

    Returns:
        The finding, if any; it says which form to use.
    """
    gap = abs(value - variance_value)
    # the two are positively correlated, so this error, for independent forms, makes the check conservative
    certain = gap > FORMS_ERRORS * np.hypot(mcse, variance_mcse)
    if not (certain and gap > FORMS_SHARE * abs(value)):
        return Verdict()
    unsound = others - {Problem.NOT_A_MINIMUM}
    if unsound:
        named = ", ".join(sorted(kind.words for kind in unsound))
        use = f"use neither, because the draws have problems ({named})"
    elif Problem.NOT_A_MINIMUM in others:
        use = "use the second, because the first is relative to a loss at w* that is not the lowest"
    elif Problem.NOT_A_MINIMUM in noted:
        use = "use the first, which is slightly too low because a lower loss than at w* was found"
    else:
        use = "use the first, because the draws have no problems and no loss lower than at w* was found"
    detail = (
        f"the first gives {value:.4g} +- {mcse:.2g} and the second {variance_value:.4g} +- {variance_mcse:.2g}; {use}."
    )
    return Verdict(notes=(Finding(Problem.FORMS_DISAGREE, detail),))


def judge_records(missing: list[str]) -> Verdict:
    """NOT_JUDGED if the trace lacks arrays that a check needs."""
    if not missing:
        return Verdict()
    return Verdict(notes=(Finding(Problem.NOT_JUDGED, f"the trace does not contain {', '.join(missing)}."),))


def _by_weight(kind: Problem, detail: str, chains: NDArray[np.bool_], excess: Array) -> Verdict:
    """A problem if the marked chains could change the mean by an amount that matters, else a note."""
    means = excess.mean(axis=1)
    value = abs(means.mean())
    moved = np.abs((means - means.mean())[chains].sum()) / len(means)  # if they had the overall mean instead
    finding = Finding(kind, detail)
    if chains.any() and (not value or max(chains.mean(), moved / value) > FEW_CHAINS):
        return Verdict(problems=(finding,))
    return Verdict(notes=(finding,))


def _problem(kind: Problem, detail: str) -> Verdict:
    return Verdict(problems=(Finding(kind, detail),))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _share(numbers: NDArray[np.integer], total: int) -> str:
    shown = ", ".join(map(str, numbers[:8].tolist())) + (", ..." if len(numbers) > 8 else "")
    return f"{len(numbers)} of {_counted(total, 'chain')} ({'number' if len(numbers) == 1 else 'numbers'} {shown})"
