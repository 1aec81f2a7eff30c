"""The verdict: what is wrong with an estimate, in fixed words that tests and saved results can match on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Problem(StrEnum):
    """A kind of finding, with a fixed sentence that says what is the matter and a remedy.

    >>> Problem("not_converged").sentence
    'The chains disagree with each other.'
    """

    NON_FINITE_CHAIN = "non_finite_chain"
    FROZEN_CHAIN = "frozen_chain"
    DIVERGING = "diverging"
    NOT_CONVERGED = "not_converged"
    DRIFT = "drift"
    SLOW = "slow"
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
        """What is the matter, without numbers."""
        return _TEXTS[self][0]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _TEXTS[self][1]


_TEXTS = {
    Problem.NON_FINITE_CHAIN: (
        "Some chains blew up and were left out whole.",
        "Use a smaller step size, or a stronger localization.",
    ),
    Problem.FROZEN_CHAIN: (
        "Some chains hardly move.",
        "Use a smaller step size, or a longer warmup; a larger budget has one.",
    ),
    Problem.DIVERGING: (
        "Many proposals diverged and were rejected.",
        "Use a smaller step size, or a stronger localization.",
    ),
    Problem.NOT_CONVERGED: (
        "The chains disagree with each other.",
        "Take more draws after a longer warmup: a larger budget.",
    ),
    Problem.SLOW: (
        "The chains forget where they were more slowly than the run lasted.",
        "Take more draws after a longer warmup: a larger budget.",
    ),
    Problem.NOT_EQUILIBRATED: (
        "The chains are still spreading out from w*.",
        "Take more draws after a longer warmup: a larger budget.",
    ),
    Problem.DRIFT: (
        "The chains are still moving away from where they started.",
        "Take more draws after a longer warmup: a larger budget.",
    ),
    Problem.STEP_BIAS: (
        "The step size biases the estimate.",
        "Use a smaller step size, a larger batch, or a sampler without step bias such as HMC.",
    ),
    Problem.ROUNDING: (
        "The losses are rounded too coarsely for this temperature.",
        "Subtract the constant from the loss that makes it large, or use a model and data in float64.",
    ),
    Problem.NOT_A_MINIMUM: (
        "w* is not a minimum: the chains found a lower loss.",
        "Train further and estimate at the lower point; the variance form, where given, needs no loss at w*.",
    ),
    Problem.LOCALIZATION_DECIDES: (
        "The estimate depends strongly on the localization.",
        "State the localization with the estimate, and compare only estimates at the same one.",
    ),
    Problem.LOCALIZATION_ZERO: (
        "Nothing holds the chains near w*.",
        "Set a positive localization: along a direction that the data leave free the posterior has no end.",
    ),
    Problem.TOO_FEW_DRAWS: (
        "There are too few independent draws.",
        "Take more draws or more chains, or give a larger budget.",
    ),
    Problem.FORMS_DISAGREE: (
        "The mean form and the variance form differ.",
        "At a minimum the mean form is the estimate, and the gap says how it changes with nbeta. Where the verdict "
        "says that w* is no minimum, read the variance form, which needs no loss at w*.",
    ),
    Problem.NOT_JUDGED: (
        "A check could not be made.",
        "Record what it needs, or read the estimate without it.",
    ),
    Problem.REMARK: ("The run has a remark.", ""),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its kind, and the numbers.

    Attributes:
        kind: The fixed part.
        detail: The numbers of this run, as text.
    """

    kind: Problem
    detail: str

    def __str__(self) -> str:
        """Say what is the matter, by how much, and what to do; a remark is said as it was made."""
        if self.kind is Problem.REMARK:
            return self.detail
        return f"{self.kind.sentence} {self.detail} {self.kind.remedy}"


@dataclass(frozen=True)
class Verdict:
    """Whether an estimate can be relied on, and why not.

    Attributes:
        problems: Findings that forbid relying on the estimate.
        notes: Findings to know of when reading it.

    >>> verdict = Verdict(problems=(Finding(Problem.NOT_CONVERGED, "R-hat is 2."),))
    >>> verdict.ok
    False
    >>> print(verdict)
    not reliable
      problem: The chains disagree with each other. R-hat is 2. Take more draws after a longer warmup: a larger budget.
    """

    problems: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @classmethod
    def join(cls, verdicts: Iterable["Verdict"]) -> "Verdict":
        """Put together the findings of several checks, in their order."""
        verdicts = list(verdicts)
        return cls(
            problems=tuple(finding for verdict in verdicts for finding in verdict.problems),
            notes=tuple(finding for verdict in verdicts for finding in verdict.notes),
        )

    def __str__(self) -> str:
        """Give the verdict, then a finding a line."""
        lines = ["reliable" if self.ok else "not reliable"]
        lines += [f"  problem: {finding}" for finding in self.problems]
        lines += [f"  note: {finding}" for finding in self.notes]
        return "\n".join(lines)
