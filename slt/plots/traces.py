"""Everything that a run recorded of its chains, in one figure."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slt.errors import InputError, NoDrawsError
from slt.plots.chains import acceptance, distances, losses, running_llc, virial
from slt.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = 4


def traces(trace: Trace, *, interval: tuple[float, float] | None = None, axes: Any = None) -> NDArray[Any]:
    """Draw the loss, the running LLC, the distance from w*, and what tells whether the sampler works.

    The last is the acceptance, or for a sampler without a Metropolis test the virial, whose mean under the
    posterior is the number of moving parameters. Chains that blew up are red and not heeded by the axes. What
    the trace does not hold leaves its axes empty, with a word that says so.

    Args:
        trace: The draws.
        interval: Ends of the LLC's interval, drawn as a band; None draws none.
        axes: Four axes in any shape; None makes a new figure.

    Returns:
        The axes, in the shape they came in: loss, running LLC, distance, sampler.

    Raises:
        InputError: If there are not four axes.
        NoDrawsError: If the trace has no draw.

    >>> from matplotlib.figure import Figure
    >>> trace = Trace.from_arrays(
    ...     posterior={"excess": np.random.default_rng(0).gamma(2.0, 0.01, size=(2, 50))},
    ...     sample_stats={},
    ...     constant_data={
    ...         "n": 500, "nbeta": 100.0, "dimension": 4, "loss_center": 0.7, "alive": np.ones(2, bool)
    ...     },
    ...     settings={
    ...         "unadjusted": False, "full_data": True, "localization": 1.0, "localization_zero": False
    ...     },
    ... )
    >>> axes = traces(trace, axes=Figure().subplots(2, 2))
    >>> [ax.get_ylabel() for ax in axes.flat]
    ['loss (nats)', 'LLC from the draws so far', 'distance from w*', 'mean acceptance so far']
    """
    if trace.draws == 0:
        raise NoDrawsError("a picture needs draws; this trace has none.")
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots(2, 2, figsize=(11, 6.5), sharex=True, layout="constrained")[1]
    axes = np.asarray(axes, dtype=object)
    if axes.size != _PANELS:
        raise InputError(f"axes must be {_PANELS} axes, got {axes.size}.")
    settings, excess = trace.settings, trace.get("posterior", "excess")
    alive = trace.alive & np.isfinite(excess).all(axis=1)
    first, second, third, fourth = axes.flat
    losses(trace.loss_center + excess, trace.loss_center, alive=alive, noisy=not settings["full_data"], ax=first)
    # the mean over the steps of a thinned draw is what the estimate is made from
    thinned = "excess_mean" in trace.names("sample_stats")
    energy = trace.nbeta * (trace.get("sample_stats", "excess_mean") if thinned else excess)
    running_llc(energy, alive=alive, interval=interval, ax=second)
    if "distance" in trace.names("posterior"):
        distances(trace.get("posterior", "distance"), alive=alive, ax=third)
    else:
        _nothing(third, "distance from w*")
    _sampler(trace, alive, unadjusted=bool(settings["unadjusted"]), ax=fourth)
    # one label is enough for axes that share their x
    for upper in (first, second) if axes.shape == (2, 2) else ():
        upper.set_xlabel("")
    return axes


def _sampler(trace: Trace, alive: NDArray[np.bool_], *, unadjusted: bool, ax: "Axes") -> None:
    recorded = trace.names("sample_stats")
    if unadjusted and "virial" in recorded:
        virial(trace.get("sample_stats", "virial"), trace.dimension, alive=alive, ax=ax)
    elif not unadjusted and "acceptance_rate" in recorded:
        acceptance(trace.get("sample_stats", "acceptance_rate"), alive=alive, ax=ax)
    else:
        _nothing(ax, "mean virial so far" if unadjusted else "mean acceptance so far")


def _nothing(ax: "Axes", label: str) -> None:
    ax.set_xlabel("draw")
    ax.set_ylabel(label)
    ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center", va="center")
