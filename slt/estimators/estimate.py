"""The estimate: a local learning coefficient with its error, its verdict, and what it was made from."""

import html
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slt._imports import import_whole
from slt.errors import SettingsError, UnreliableEstimateError
from slt.estimators.verdict import Verdict
from slt.trace import Trace

# An error estimated from `ess` draws is known about as well as one from a quarter as many independent draws:
# the effective sample size is estimated too. On autoregressive chains 95 % intervals then hold 93 to 97 %.
_DRAWS_PER_DEGREE = 4
_SENSITIVITY_KNOWN = 0.1  # error of the sensitivity beyond which it is said to be not well known


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """A local learning coefficient, what it is worth, and where it comes from.

    Attributes:
        value: nbeta (E[L] - L(w*)), by the mean of the draws.
        mcse: Monte Carlo standard error of `value`; nan where the draws do not tell.
        ess: Effective number of independent draws behind `value`; of block means where the losses are over
            minibatches.
        rhat: Rank-normalized split R-hat of the same series.
        per_chain: The value of each chain, (chains,); nan for chains that were left out.
        variance_value: nbeta^2 Var L, which needs no L(w*); None where batch noise would enter the variance.
        variance_mcse: Its Monte Carlo standard error.
        sensitivity: d log(llc) / d log(localization); None without a localizer, and where the
            value is not clear of zero.
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

        It is about sampling noise alone; what else may be wrong is the verdict's to say.

        Args:
            prob: Probability that the interval should hold the value of endless draws, between 0 and 1.

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
            UnreliableEstimateError: If the verdict names problems; it carries the estimate.
        """
        if self.verdict.ok:
            return self
        problems = "\n".join(f"  {finding}" for finding in self.verdict.problems)
        raise UnreliableEstimateError(f"llc {self._pair()} cannot be relied on:\n{problems}", self)

    def plot(self, *, axes: Any = None) -> NDArray[Any]:
        """Draw the traces of the chains, under a title with value, interval and verdict.

        Args:
            axes: Four axes in any shape; None makes a new figure. The title is that of their figure.

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
            + ("reliable" if self.verdict.ok else f"not reliable: {kinds}"),
            color=None if self.verdict.ok else "#b00020",
            fontsize="medium",
        )
        return axes

    def __str__(self) -> str:
        """Say what a reader wants to know, in the order of asking: value, verdict, circumstances."""
        low, high = self.interval()
        digits = _decimals(self.mcse)
        return "\n".join(
            [
                f"llc {self._pair()} (95 % interval {low:.{digits}f} to {high:.{digits}f})",
                f"verdict: {self.verdict}",
                self._variance_line(),
                *self._circumstances(),
            ]
        )

    def __repr__(self) -> str:
        """Give the same text: an estimate should not be seen without its verdict."""
        return str(self)

    def _repr_html_(self) -> str:
        first, *rest = str(self).split("\n")
        colour = "inherit" if self.verdict.ok else "#b00020"
        body = html.escape("\n".join(rest))
        return f'<b style="color: {colour}">{html.escape(first)}</b><pre>{body}</pre>'

    def _pair(self) -> str:
        return _with_error(self.value, self.mcse)

    def _variance_line(self) -> str:
        if self.variance_value is None or self.variance_mcse is None:
            return "variance form: not given, the noise of the minibatches would enter it"
        return f"variance form (needs no loss at w*): {_with_error(self.variance_value, self.variance_mcse)}"

    def _circumstances(self) -> list[str]:
        """One line each on the quantity, the draws and the programs."""
        trace, settings = self.trace, self.settings
        quantity = (
            f"n {trace.n}, nbeta {trace.nbeta:.6g}, localization {_localization(settings)}, "
            f"{trace.dimension} moving parameters, loss at w* {trace.loss_center:.6g} nats"
        )
        if self.sensitivity is not None and self.sensitivity_mcse is not None:
            known = "" if self.sensitivity_mcse <= _SENSITIVITY_KNOWN else "not well known, "
            pair = _with_error(self.sensitivity, self.sensitivity_mcse)
            quantity += f", sensitivity to localization {known}{pair}"
            quantity += "" if self.verdict.ok else " (of draws with problems)"
        batch = "" if settings.get("batch_size") is None else f" of {settings['batch_size']}"
        data = "all data in each step" if settings["full_data"] else f"minibatches{batch}"
        early = f" (the first {settings['burn_in']} left out)" if settings.get("burn_in") else ""
        draws = (
            f"{settings.get('sampler', 'unknown sampler')}{_step(trace)}, {data}; {trace.chains} chains x "
            f"{trace.draws} draws{early}, thin {settings.get('thin', '?')}, warmup {settings.get('warmup', '?')}, "
            f"seed {settings.get('seed', '?')}; ess {self.ess:.0f}, R-hat {self.rhat:.3f}"
        )
        lines = [quantity, draws]
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


def _localization(settings: dict[str, Any]) -> str:
    given = settings["localization"]
    rule = f" ({settings['localization_rule']})" if "localization_rule" in settings else ""
    if isinstance(given, dict):
        return f"{min(given.values()):.3g} to {max(given.values()):.3g}{rule}"
    return f"{given:.4g}{rule}" if isinstance(given, int | float) else f"{given}{rule}"


def _step(trace: Trace) -> str:
    if "tuning_step_size" not in trace.names("constant_data"):
        return ""
    steps = trace.get("constant_data", "tuning_step_size")
    low, high = float(steps.min()), float(steps.max())
    return f", step size {low:.3g}" if low == high else f", step sizes {low:.3g} to {high:.3g}"
