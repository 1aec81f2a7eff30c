"""The verdict: what is wrong with an estimate, in fixed sentences that tests and saved results can match on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from slt._text import paragraph


class Problem(StrEnum):
    """A kind of finding, with a fixed sentence that states the problem, and a remedy.

    >>> Problem("not_converged").sentence
    'The chains disagree with each other.'
    """

    NON_FINITE_CHAIN = "non_finite_chain"
    FROZEN_CHAIN = "frozen_chain"
    DIVERGING = "diverging"
    NOT_CONVERGED = "not_converged"
    DRIFT = "drift"
    SLOW = "slow"
    STARTS_DISAGREE = "starts_disagree"
    NOT_EQUILIBRATED = "not_equilibrated"
    STEP_BIAS = "step_bias"
    ROUNDING = "rounding"
    NOT_A_MINIMUM = "not_a_minimum"
    LOCALIZATION_DECIDES = "localization_decides"
    LOCALIZATION_ZERO = "localization_zero"
    TOO_FEW_DRAWS = "too_few_draws"
    FORMS_DISAGREE = "forms_disagree"
    NOT_JUDGED = "not_judged"
    REMARK = "remark"

    @property
    def words(self) -> str:
        """The kind as it is written in a table, such as "not converged"."""
        return self.replace("_", " ")

    @property
    def sentence(self) -> str:
        """The problem in one sentence, without numbers."""
        return _TEXTS[self][0]

    @property
    def remedy(self) -> str:
        """What to do about the problem."""
        return _TEXTS[self][1]


# Two sentences each: the first is followed by the numbers of the run.
_TEXTS = {
    Problem.NON_FINITE_CHAIN: (
        "Some chains blew up and were left out.",
        "Use a smaller step size or a stronger localization.",
    ),
    Problem.FROZEN_CHAIN: (
        "Some chains hardly move.",
        "Use a smaller step size or a longer warmup (a larger budget includes one).",
    ),
    Problem.DIVERGING: (
        "Many proposals diverged and were rejected.",
        "Use a smaller step size or a stronger localization.",
    ),
    Problem.NOT_CONVERGED: (
        "The chains disagree with each other.",
        "Take more draws after a longer warmup (a larger budget).",
    ),
    Problem.SLOW: (
        "The run is shorter than the autocorrelation time of the chains.",
        "Take more draws after a longer warmup (a larger budget).",
    ),
    Problem.STARTS_DISAGREE: (
        "Chains that started at w* and chains that started from hot draws give different values.",
        "Take more draws after a longer warmup: a larger budget; or use a stronger localization.",
    ),
    Problem.NOT_EQUILIBRATED: (
        "The chains are still spreading out from w*.",
        "Take more draws after a longer warmup (a larger budget).",
    ),
    Problem.DRIFT: (
        "The chains are still moving away from where they started.",
        "Take more draws after a longer warmup (a larger budget).",
    ),
    Problem.STEP_BIAS: (
        "The step size biases the estimate.",
        "Use a smaller step size, a larger batch, or a sampler without step bias such as HMC.",
    ),
    Problem.ROUNDING: (
        "The losses are rounded too coarsely for this temperature.",
        "Subtract a constant from the loss if it has a large one, or use a model and data in float64.",
    ),
    Problem.NOT_A_MINIMUM: (
        "w* is not a minimum.",
        "Train further and estimate again at the lower point; the variance form, if given, needs no loss at w*.",
    ),
    Problem.LOCALIZATION_DECIDES: (
        "The estimate depends strongly on the localization.",
        "State the localization with the estimate, and compare only estimates at the same localization.",
    ),
    Problem.LOCALIZATION_ZERO: (
        "Nothing holds the chains near w*.",
        "Set a positive localization: without one the posterior is improper wherever the data leave a direction free.",
    ),
    Problem.TOO_FEW_DRAWS: (
        "There are too few effective draws.",
        "Take more draws or more chains (a larger budget).",
    ),
    Problem.FORMS_DISAGREE: (
        "The mean form and the variance form differ.",
        "At a minimum, the gap shows how the estimate changes with nbeta.",
    ),
    Problem.NOT_JUDGED: (
        "A check could not be made.",
        "Record what is missing, or use the estimate without this check.",
    ),
    Problem.REMARK: ("The run has a remark.", ""),
}


@dataclass(frozen=True)
class Finding:
    """One finding of a check: its kind, and the numbers.

    Attributes:
        kind: The kind, which has the fixed sentence and the remedy.
        detail: The numbers of this run, as text that follows a colon.
    """

    kind: Problem
    detail: str

    def __str__(self) -> str:
        """Return the problem with its numbers, then the remedy; a remark is returned unchanged."""
        if self.kind is Problem.REMARK:
            return self.detail
        return f"{self.kind.sentence.removesuffix('.')}: {self.detail} {self.kind.remedy}"


@dataclass(frozen=True)
class Verdict:
    """Whether an estimate can be relied on, and why not.

    Attributes:
        problems: Findings because of which the estimate cannot be relied on.
        notes: Findings to be aware of when using it.

    >>> verdict = Verdict(problems=(Finding(Problem.NOT_CONVERGED, "R-hat is 2."),))
    >>> verdict.ok
    False
    >>> print(verdict)
    not reliable
      problem: The chains disagree with each other: R-hat is 2. Take more draws after a longer warmup (a
        larger budget).
    """

    problems: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    @classmethod
    def join(cls, verdicts: Iterable["Verdict"]) -> "Verdict":
        """Join the findings of several checks, in order."""
        verdicts = list(verdicts)
        return cls(
            problems=tuple(finding for verdict in verdicts for finding in verdict.problems),
            notes=tuple(finding for verdict in verdicts for finding in verdict.notes),
        )

    def __str__(self) -> str:
        """Return the verdict, then the findings, wrapped."""
        return "\n".join([self.words, *self.lines()])

    @property
    def words(self) -> str:
        """The verdict alone: "reliable" or "not reliable"."""
        return "reliable" if self.ok else "not reliable"

    def lines(self) -> list[str]:
        """Return the problems, then the notes, each as an indented paragraph."""
        labelled = [*(("problem", each) for each in self.problems), *(("note", each) for each in self.notes)]
        return [paragraph(f"  {label}: {each}", indent=4) for label, each in labelled]
