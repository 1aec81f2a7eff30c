"""What each problem of a verdict means; thresholds in braces are read from `slt.estimators.judges`."""

from typing import NamedTuple

from slt.estimators import Problem


class Meaning(NamedTuple):
    """The part of the explanation that the package itself does not hold."""

    found: str
    """When the problem is found."""
    why: str
    """What it says about the estimate."""


MEANINGS = {
    Problem.NON_FINITE_CHAIN: Meaning(
        "when a chain's loss or weights became infinite or not a number, or grew beyond all reason. Such a chain is "
        "left out whole, with everything it drew before.",
        "The chains that are left may be those that happened to stay where it is safe, so their mean is not that of "
        "the posterior. It is a problem however few of the chains it takes.",
    ),
    Problem.FROZEN_CHAIN: Meaning(
        "when a chain never changes its loss or its distance from w*, when its loss varies less than "
        "{FROZEN_SPREAD:g} times as much as is usual among the chains, or when its mean acceptance is below "
        "{FROZEN_ACCEPTANCE:g}. It is a note where these chains are so few that they could not move the "
        "estimate by more than {FEW_CHAINS:.0%}.",
        "A chain that stands still repeats one place, mostly w* itself, and pulls the estimate towards zero.",
    ),
    Problem.DIVERGING: Meaning(
        "with samplers that reject: a note where more than {DIVERGING_NOTE:.0%} of all proposals diverged, which means "
        "that their energy was off by more than 1000 nats or not finite; a problem where chains that lost more than "
        "{DIVERGING_PROBLEM:.0%} of their own could move the estimate by more than {FEW_CHAINS:.0%}.",
        "A proposal that diverges is rejected, so the law stays right, but the chain stands still meanwhile. Some are "
        "meant to: HMC jitters its step, and its longest ones overshoot. Many say that the step is too long for where "
        "the chain is, or that it cannot enter a part of the posterior.",
    ),
    Problem.NOT_CONVERGED: Meaning(
        "when the rank-normalized split R-hat of the losses is above {RHAT:g}.",
        "The chains have not yet been through the same region, or not in the same shares: each gives an answer of its "
        "own, and the interval, which assumes that they agree, is too narrow.",
    ),
    Problem.SLOW: Meaning(
        "when the means of a chain's quarters still covary half a run apart, by more than {SLOW_ERRORS:g} standard "
        "errors, falling so slowly that the relaxation time is longer than the run, and with a standard deviation "
        "above {SLOW_SHARE:.0%} of the estimate.",
        "Each chain then keeps some of the loss with which it began, so that none has seen the whole posterior. R-hat "
        "sees it where it is a tenth of the variance; this also where the rest of the energy is fast.",
    ),
    Problem.NOT_EQUILIBRATED: Meaning(
        "when the mean of (w - w*) . grad U is off the number of parameters by more than {VIRIAL_ERRORS:g} standard "
        "errors, and where half the gap is more than {VIRIAL_NOTE:.0%} of the estimate: a note above {VIRIAL_NOTE:.0%} "
        "of that number, a problem above {VIRIAL_PROBLEM:.0%}.",
        "Under the posterior that mean is the number of parameters exactly. All chains start at w*, where it is zero, "
        "and slow directions hold it low while the loss already looks level: the estimate may still be off by up to "
        "half the gap. The same is asked of the directions in which the loss is felt, each weighted by the "
        "loss's share in its curvature: a problem where that mean is off what is due by more than {FELT_ERRORS:g} "
        "standard errors, and half the gap is more than {FELT_OWN_ERRORS:g} errors of the estimate and "
        "{FELT_PROBLEM:.0%} of it.",
    ),
    Problem.DRIFT: Meaning(
        "when the late draws differ from the early ones by more than {DRIFT_ERRORS:g} standard errors, and the mean of "
        "the last half from that of all by more than {DRIFT_SHARE:.0%} of the estimate, or than {DRIFT_OWN_ERRORS:g} "
        "of its own errors.",
        "All chains start at w*, where the excess loss is zero, and climb away from it together. R-hat sees no "
        "disagreement in that; comparing late with early does. While it lasts the estimate is mostly too low.",
    ),
    Problem.STEP_BIAS: Meaning(
        "with samplers that do not correct their step, such as SGLD: a note where the bias is above "
        "{STEP_BIAS_NOTE:.0%} of the estimate, a problem above {STEP_BIAS_PROBLEM:.0%}.",
        "A step of finite size samples a slightly different law, with a higher loss. More draws do not help: the "
        "interval shrinks around a wrong value. The bias is estimated from the draws themselves by the virial "
        "theorem, to first order in the step.",
    ),
    Problem.ROUNDING: Meaning(
        "with samplers that correct their step, from the size of the loss at w*, nbeta, and the type of the numbers: a "
        "note where rounding may change the estimate by more than {ROUNDING_NOTE:.1%}, a problem above "
        "{ROUNDING_PROBLEM:.0%}.",
        "A loss of 1e5 nats in float32 is known to 0.008 nats, and nbeta multiplies that. Chains stay longer where "
        "rounding came out low: an error of variance s^2 in the energy takes s^2 off its mean.",
    ),
    Problem.NOT_A_MINIMUM: Meaning(
        "when the chains came below the loss at w* by more than rounding explains: a note where this takes "
        "{DEPTH_NOTE:.1%} off the estimate, a problem at {DEPTH_PROBLEM:.0%}; and when the estimate is below zero by "
        "{NEGATIVE_ERRORS:g} standard errors.",
        "The LLC belongs to a minimum of the loss. Where training has not arrived at one the excess loss is measured "
        "from too high a level, and the estimate is too low, at worst negative. This is usual and no error for early "
        "checkpoints.",
    ),
    Problem.LOCALIZATION_DECIDES: Meaning(
        "when s = d log(llc) / d log(localization), less {SENSITIVITY_ERRORS:g} of its standard errors, is above "
        "{SENSITIVITY_NOTE:g} in size. It is always a note. What twice the localization would change is said up to "
        "{EXTRAPOLATED:g} in size.",
        "Between two localizations a factor of two apart the estimate changes by about the factor 2^s. It then says "
        "as much about the localizer as about the model. From draws with other problems nothing is extrapolated.",
    ),
    Problem.LOCALIZATION_ZERO: Meaning(
        "when every precision of the localizer is 0.",
        "A network has directions along which its loss does not change at all. Without a localizer the chains walk "
        "along them without end, and no number of draws gives a mean.",
    ),
    Problem.TOO_FEW_DRAWS: Meaning(
        "when the effective sample size is below {ESS:g}, or cannot be computed.",
        "The error is itself an estimate. From few independent draws it is unreliable, and the checks for convergence "
        "and drift see nothing.",
    ),
    Problem.FORMS_DISAGREE: Meaning(
        "when the mean form and the variance form differ by more than {FORMS_ERRORS:g} standard errors and more than "
        "{FORMS_SHARE:.0%} of the estimate; always a note.",
        "Both are the learning coefficient in the limit. At finite nbeta the variance form is the mean form less its "
        "derivative by log nbeta, so the gap says how fast the estimate changes with the temperature. A large one is "
        "usual for trained networks. The finding says which to trust in this run: the first at a minimum with sound "
        "draws, the second where w* is no minimum, neither where the draws have problems. Full-data samplers only: "
        "batch noise would enter the variance.",
    ),
    Problem.NOT_JUDGED: Meaning(
        "when the trace lacks an array that a check needs; always a note.",
        "Traces that `slt.sample` draws have them all. One that was put together by hand may not, and what could not "
        "be checked is then said.",
    ),
    Problem.REMARK: Meaning(
        "always, where the run or the reading of the problem has something to say: why the sampler was chosen, "
        "whether the target error was reached, which weights are zero at w*.",
        "It is a note, not against the estimate.",
    ),
}
