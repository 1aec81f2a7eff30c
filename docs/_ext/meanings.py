"""What each problem of a verdict means; thresholds in braces are read from `slt.estimators.judges`."""

from typing import NamedTuple

from slt.estimators import Problem


class Meaning(NamedTuple):
    """The part of the explanation that is not in the package itself."""

    found: str
    """When the problem is found."""
    why: str
    """What it means for the estimate."""


MEANINGS = {
    Problem.NON_FINITE_CHAIN: Meaning(
        "when a chain's loss or weights became infinite or not a number, or grew extremely large. Such a chain is left "
        "out completely, including its earlier draws.",
        "The remaining chains may be those that happened to stay in a stable region, so their mean is not that of the "
        "posterior. This is a problem even if only a few chains are affected.",
    ),
    Problem.FROZEN_CHAIN: Meaning(
        "when the loss of a chain or its distance from w* never changes, when the spread of its loss is less than "
        "{FROZEN_SPREAD:g} times the median of the chains, or when its mean acceptance is below "
        "{FROZEN_ACCEPTANCE:g}. It is a note if these chains are so few that they could not change the "
        "estimate by more than {FEW_CHAINS:.0%}.",
        "A chain that stands still repeats one point, usually w* itself, and pulls the estimate towards zero.",
    ),
    Problem.DIVERGING: Meaning(
        "with samplers that reject: a note if more than {DIVERGING_NOTE:.0%} of all proposals diverged, which means "
        "that their energy was off by more than 1000 nats or not finite; a problem if chains that lost more than "
        "{DIVERGING_PROBLEM:.0%} of their own could change the estimate by more than {FEW_CHAINS:.0%}.",
        "A divergent proposal is rejected, so the law stays right, but the chain stands still meanwhile. Some "
        "divergences are expected: HMC jitters its step size, and its longest steps overshoot. Many mean that the step "
        "is too long for the region of the chain, or that the chain cannot enter a part of the posterior.",
    ),
    Problem.NOT_CONVERGED: Meaning(
        "when the rank-normalized split R-hat of the losses is above {RHAT:g}.",
        "The chains have not explored the same region, or not in the same proportions. Each gives a different answer, "
        "and the interval, which assumes that they agree, is too narrow.",
    ),
    Problem.SLOW: Meaning(
        "when the means of a chain's quarters still covary half a run apart, by more than {SLOW_ERRORS:g} standard "
        "errors, falling so slowly that the relaxation time is longer than the run, and with a standard deviation "
        "above {SLOW_SHARE:.0%} of the estimate.",
        "Each chain then still depends on where it started, and none has explored the whole posterior. R-hat detects "
        "this where the slow part is a tenth of the variance; this check also where the rest of the energy is fast.",
    ),
    Problem.STARTS_DISAGREE: Meaning(
        "where half of the chains started from hot draws, as estimate_llc has it for few parameters: when their mean "
        "energy differs from that of the chains that started at w* by more than {STARTS_SHARE:.0%} of the estimate and "
        "{STARTS_NOTE:g} standard errors, a note, or {STARTS_PROBLEM:g}, a problem.",
        "The loss is low in several places between which chains hardly move, and the estimate says more about where "
        "the chains started than about the posterior.",
    ),
    Problem.NOT_EQUILIBRATED: Meaning(
        "when the mean of (w - w*) . grad U differs from the number of parameters by more than {VIRIAL_ERRORS:g} "
        "standard errors, and half the difference is more than {VIRIAL_NOTE:.0%} of the estimate: a note above "
        "{VIRIAL_NOTE:.0%} of that number, a problem above {VIRIAL_PROBLEM:.0%}. Also when the same mean along the "
        "directions that the loss depends on, each weighted by the loss's share of the curvature, is off by more than "
        "{FELT_ERRORS:g} standard errors, and half the difference is more than {FELT_OWN_ERRORS:g} errors of the "
        "estimate and {FELT_PROBLEM:.0%} of it.",
        "Under the posterior that mean is exactly the number of parameters. All chains start at w*, where it is zero, "
        "and slow directions keep it low while the loss already looks level: the estimate may still be off by up to "
        "half the difference.",
    ),
    Problem.DRIFT: Meaning(
        "when the late draws differ from the early ones by more than {DRIFT_ERRORS:g} standard errors, and the mean of "
        "the last half from that of all by more than {DRIFT_SHARE:.0%} of the estimate, or than {DRIFT_OWN_ERRORS:g} "
        "of its own errors.",
        "All chains start at w*, where the excess loss is zero, and move away from it together. R-hat does not detect "
        "this, because the chains agree, but comparing late with early draws does. The estimate is then usually too "
        "low.",
    ),
    Problem.STEP_BIAS: Meaning(
        "with samplers that do not correct for their step size, such as SGLD: a note if the bias is above "
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
        "when the chains came below the loss at w* by more than rounding explains: a note if this lowers the estimate "
        "by {DEPTH_NOTE:.1%}, a problem if by {DEPTH_PROBLEM:.0%}; and when the estimate is below zero by "
        "{NEGATIVE_ERRORS:g} standard errors.",
        "The LLC is defined at a minimum of the loss. If training has not reached one, the excess loss is measured "
        "from too high a level, and the estimate is too low or even negative. This is normal for early checkpoints, "
        "and not an error.",
    ),
    Problem.LOCALIZATION_DECIDES: Meaning(
        "when s = d log(llc) / d log(localization), less {SENSITIVITY_ERRORS:g} of its standard errors, is above "
        "{SENSITIVITY_NOTE:g} in size. It is always a note. The effect of doubling the localization is given for s up "
        "to {EXTRAPOLATED:g} in size.",
        "Doubling the localization changes the estimate by a factor of about 2^s. The estimate then depends as much on "
        "the localizer as on the model. Draws with other problems are not extrapolated.",
    ),
    Problem.LOCALIZATION_ZERO: Meaning(
        "when every precision of the localizer is 0.",
        "A network has directions along which its loss does not change at all. Without a localizer the chains diffuse "
        "along them without limit, and no number of draws gives a mean.",
    ),
    Problem.TOO_FEW_DRAWS: Meaning(
        "when the effective sample size is below {ESS:g}, or cannot be computed.",
        "The error is itself an estimate. From few effective draws it is unreliable, and the checks for convergence "
        "and drift cannot detect anything.",
    ),
    Problem.FORMS_DISAGREE: Meaning(
        "when the mean form and the variance form differ by more than {FORMS_ERRORS:g} standard errors and more than "
        "{FORMS_SHARE:.0%} of the estimate; always a note.",
        "Both are the learning coefficient in the limit. At finite nbeta the variance form is the mean form less its "
        "derivative by log nbeta, so the gap shows how fast the estimate changes with the temperature. A large gap is "
        "normal for trained networks. The note says which form to use: the mean form at a minimum if the draws have no "
        "problems, the variance form where w* is not a minimum, neither if the draws have problems. It is made only "
        "with full-data samplers, because batch noise would enter the variance.",
    ),
    Problem.NOT_JUDGED: Meaning(
        "when the trace lacks an array that a check needs; always a note.",
        "Traces made by `slt.sample` have all of them. A trace that was assembled by hand may not, and the note then "
        "lists what could not be checked.",
    ),
    Problem.REMARK: Meaning(
        "when the run or the problem has additional information: why the sampler was chosen, whether the target error "
        "was reached, which weights are zero at w*.",
        "It does not make the estimate less reliable.",
    ),
}
