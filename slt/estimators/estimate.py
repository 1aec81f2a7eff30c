"""The estimate: a local learning coefficient with its error, its verdict, and how it was made."""

import html
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slt._imports import import_whole
from slt._text import paragraph
from slt.errors import SettingsError, UnreliableEstimateError
from slt.estimators.verdict import Verdict
from slt.trace import Trace

# An error estimated from `ess` effective draws is about as uncertain as one from a quarter as many independent draws,
# because the effective sample size is itself estimated. On autoregressive chains 95 % intervals then cover 93 to 97 %.
_DRAWS_PER_DEGREE = 4
_SENSITIVITY_KNOWN = 0.1  # above this error the sensitivity is called not well known


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """A local learning coefficient with its error, its verdict, and how it was made.

    Attributes:
        value: nbeta (E[L] - L(w*)), by the mean of the draws.
        mcse: Monte Carlo standard error of `value`; nan where the draws do not determine it.
        ess: Effective sample size behind `value`; that of block means where losses are over minibatches.
        rhat: Rank-normalized split R-hat of the same series.
        per_chain: The value of each chain, (chains,); nan for chains that were left out.
        variance_value: nbeta^2 Var L, which needs no L(w*); None where batch noise would enter the variance.
        variance_mcse: Its Monte Carlo standard error.
        sensitivity: d log(llc) / d log(localization); None without a localizer, and where the
            value is not significantly above zero.
        sensitivity_mcse: Its Monte Carlo standard error.
        verdict: Whether the estimate can be relied on.
        settings: How the draws were made.
        trace: The draws.
    """

    value: float
    mcse: float
    ess: float
    rhat: float
    per_chain: NDArray[np.float64]
    variance_value: float | None
    variance_mcse: float | None
    sensitivity: float | None
    sensitivity_mcse: float | None
    verdict: Verdict
    settings: dict[str, Any]
    trace: Trace

    def interval(self, prob: float = 0.95) -> tuple[float, float]:
        """Central interval from Student's t with a quarter of `ess` degrees of freedom.

        It covers sampling noise only; the verdict reports other errors.

        Args:
            prob: Probability, between 0 and 1, that the interval contains the value that infinitely many draws would
                give.

        Returns:
            (low, high), both nan where `mcse` is.

        Raises:
            SettingsError: If `prob` is not between 0 and 1.
        """
        if not 0 < prob < 1:
            raise SettingsError(f"prob must be between 0 and 1, got {prob}.")
        half = (
            float(import_whole("scipy.special").stdtrit(max(self.ess / _DRAWS_PER_DEGREE, 1.0), (1 + prob) / 2))
            * self.mcse
        )
        return self.value - half, self.value + half

    def require(self) -> "Estimate":
        """Return this estimate if its verdict is ok.

        Returns:
            This estimate.

        Raises:
            UnreliableEstimateError: If the verdict has problems; its `estimate` is this estimate.
        """
        if self.verdict.ok:
            return self
        problems = "\n".join(f"  {finding}" for finding in self.verdict.problems)
        raise UnreliableEstimateError(f"llc {self._pair()} cannot be relied on:\n{problems}", self)

    def plot(self, *, axes: Any = None) -> NDArray[Any]:
        """Plot the traces of the chains, under a title with value, interval and verdict.

        Args:
            axes: Four axes in any shape; None makes a new figure. The title is set on their figure.

        Returns:
            The axes; see `slt.plots.traces`.
        """
        from slt.plots import traces

        axes = traces(self.trace, interval=self.interval(), axes=axes)
        low, high = self.interval()
        digits = _decimals(self.mcse)
        kinds = ", ".join(finding.kind.words for finding in self.verdict.problems)
        axes.flat[0].figure.suptitle(
            f"LLC {self._pair()} (95 % interval {low:.{digits}f} to {high:.{digits}f})\n"
            + self.verdict_line
            + (f": {kinds}" if kinds else ""),
            color=None if self.verdict.ok else "#b00020",
            fontsize="medium",
        )
        return axes

    def __str__(self) -> str:
        """Return value, interval, verdict and quantity, then the findings and how the estimate was made."""
        low, high = self.interval()
        digits = _decimals(self.mcse)
        return "\n".join(
            [
                f"llc {self._pair()} (95 % interval {low:.{digits}f} to {high:.{digits}f})",
                f"verdict: {self.verdict_line}",
                paragraph(self._quantity()),
                *self.verdict.lines(),
                *map(paragraph, self._details()),
            ]
        )

    def __repr__(self) -> str:
        """Return the same text: an estimate should not be seen without its verdict."""
        return str(self)

    @property
    def verdict_line(self) -> str:
        """The verdict and what it is about, such as "reliable, at nbeta 42.4 and localization auto"."""
        rule = self.settings.get("localization_rule")
        localization = rule if rule == "auto" else _localization(self.settings)
        return f"{self.verdict.words}, at nbeta {self.trace.nbeta:.3g} and localization {localization}"

    def _repr_html_(self) -> str:
        first, *rest = str(self).split("\n")
        colour = "inherit" if self.verdict.ok else "#b00020"
        body = html.escape("\n".join(rest))
        return f'<b style="color: {colour}">{html.escape(first)}</b><pre>{body}</pre>'

    def _pair(self) -> str:
        return _with_error(self.value, self.mcse)

    def _variance_line(self) -> str:
        if self.variance_value is None or self.variance_mcse is None:
            return "variance form: not available, because the noise of the minibatches would enter it"
        return f"variance form (needs no loss at w*): {_with_error(self.variance_value, self.variance_mcse)}"

    def _quantity(self) -> str:
        trace = self.trace
        return (
            f"n {trace.n}, nbeta {trace.nbeta:.6g}, localization {_localization(self.settings, with_rule=True)}, "
            f"{trace.dimension} moving parameters, loss at w* {trace.loss_center:.6g} nats"
        )

    def _sensitivity_line(self, value: float, error: float) -> str:
        known = "" if error <= _SENSITIVITY_KNOWN else "not well known, "
        problems = "" if self.verdict.ok else " (from draws with problems)"
        return f"sensitivity to localization: {known}{_with_error(value, error)}{problems}"

    def _details(self) -> list[str]:
        """One paragraph each on the variance form, the sensitivity, the draws, the loss and the versions."""
        trace, settings = self.trace, self.settings
        lines = [self._variance_line()]
        if self.sensitivity is not None and self.sensitivity_mcse is not None:
            lines.append(self._sensitivity_line(self.sensitivity, self.sensitivity_mcse))
        batch = "" if settings.get("batch_size") is None else f" of {settings['batch_size']}"
        data = "all data in each step" if settings["full_data"] else f"minibatches{batch}"
        early = f" (the first {settings['burn_in']} left out)" if settings.get("burn_in") else ""
        draws = (
            f"{settings.get('sampler', 'unknown sampler')}{_step(trace)}, {data}; {trace.chains} chains x "
            f"{trace.draws} draws{early}, thin {settings.get('thin', '?')}, warmup {settings.get('warmup', '?')}, "
            f"seed {settings.get('seed', '?')}; ess {self.ess:.0f}, R-hat {self.rhat:.3f}"
        )
        lines.append(draws)
        if "loss" in settings:
            lines.append(f"loss: {settings['loss']}")
        if "versions" in settings:
            versions = ", ".join(f"{name} {number}" for name, number in settings["versions"].items())
            lines.append(f"versions: {versions}")
        return lines


def _decimals(error: float) -> int:
    """Decimals that show two digits of the error; four where the error is not known."""
    if not (isfinite(error) and error > 0):
        return 4
    return max(0, 1 - floor(log10(error)))


def _with_error(value: float, error: float) -> str:
    digits = _decimals(error)
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def _localization(settings: dict[str, Any], with_rule: bool = False) -> str:
    given = settings["localization"]
    rule = f" ({settings['localization_rule']})" if with_rule and "localization_rule" in settings else ""
    if isinstance(given, dict):
        return f"{min(given.values()):.3g} to {max(given.values()):.3g}{rule}"
    return f"{given:.4g}{rule}" if isinstance(given, int | float) else f"{given}{rule}"


def _step(trace: Trace) -> str:
    if "tuning_step_size" not in trace.names("constant_data"):
        return ""
    steps = trace.get("constant_data", "tuning_step_size")
    low, high = float(steps.min()), float(steps.max())
    return f", step size {low:.3g}" if low == high else f", step sizes {low:.3g} to {high:.3g}"
