import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from slt.errors import InputError, NoDrawsError
from slt.plots import traces
from slt.trace import Trace


def trace_of(chains=4, draws=200, *, unadjusted=False, full_data=True, without=(), thinned=False, alive=None):
    rng = np.random.default_rng(0)
    shape = (chains, draws)
    posterior = {"excess": rng.gamma(3.0, 0.01, shape), "distance": rng.gamma(9.0, size=shape)}
    stats = {"acceptance_rate": rng.uniform(0.6, 1.0, shape), "virial": rng.normal(6.0, 1.0, shape)}
    if thinned:
        stats["excess_mean"] = rng.gamma(300.0, 0.0001, shape)
    return Trace.from_arrays(
        posterior={name: x for name, x in posterior.items() if name not in without},
        sample_stats={name: x for name, x in stats.items() if name not in without},
        constant_data={
            "n": 500,
            "nbeta": 100.0,
            "dimension": 6,
            "loss_center": 0.7,
            "alive": np.ones(chains, bool) if alive is None else np.asarray(alive),
        },
        settings={
            "unadjusted": unadjusted,
            "full_data": full_data,
            "localization": 1.0,
            "localization_zero": False,
        },
    )


def draw(trace, **options):
    return traces(trace, axes=Figure().subplots(2, 2, sharex=True), **options)


def last(ax):
    return ax.get_lines()[-1].get_ydata()[-1]


def labels(axes):
    return [ax.get_ylabel() for ax in axes.flat]


def test_four_pictures_show_what_the_trace_holds():
    trace = trace_of()
    axes = draw(trace)
    assert labels(axes) == ["loss (nats)", "LLC from the draws so far", "distance from w*", "mean acceptance so far"]
    loss, llc, distance, acceptance = axes.flat
    assert loss.get_lines()[0].get_ydata() == pytest.approx(0.7 + trace.get("posterior", "excess")[0])
    assert last(loss) == 0.7
    assert last(llc) == pytest.approx(100 * trace.get("posterior", "excess").mean())
    assert distance.get_lines()[3].get_ydata() == pytest.approx(trace.get("posterior", "distance")[3])
    assert last(acceptance) == pytest.approx(trace.get("sample_stats", "acceptance_rate").mean())


def test_a_sampler_without_a_metropolis_test_shows_its_virial():
    trace = trace_of(unadjusted=True)
    axes = draw(trace)
    assert labels(axes)[3] == "mean virial so far"
    assert last(axes[1, 1]) == pytest.approx(trace.get("sample_stats", "virial").mean())
    assert list(axes[1, 1].get_lines()[0].get_ydata()) == [6, 6]


def test_the_running_llc_is_of_the_series_that_the_estimate_is_made_from():
    trace = trace_of(thinned=True)
    assert last(draw(trace)[0, 1]) == pytest.approx(100 * trace.get("sample_stats", "excess_mean").mean())


def test_losses_over_minibatches_are_smoothed():
    assert len(draw(trace_of(full_data=False))[0, 0].get_lines()) == 9
    assert len(draw(trace_of())[0, 0].get_lines()) == 5


def test_dead_chains_are_marked_everywhere():
    for ax in draw(trace_of(alive=[True, False, True, True])).flat:
        assert "chain 1 blew up" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_what_was_not_recorded_is_said_to_be_missing():
    axes = draw(trace_of(without=("distance", "acceptance_rate")))
    assert [text.get_text() for ax in axes[1] for text in ax.texts] == ["not recorded", "not recorded"]
    assert labels(axes)[2:] == ["distance from w*", "mean acceptance so far"]


@pytest.mark.parametrize("chains", [1, 4, 64])
def test_nothing_overlaps_and_nothing_is_cut_off(chains):
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = traces(trace_of(chains, full_data=False, unadjusted=True), axes=figure.subplots(2, 2, sharex=True))
    figure.suptitle("a title\nof two lines")
    figure.canvas.draw()
    assert figure._suptitle is not None
    title = figure._suptitle.get_window_extent()
    for ax in axes.flat:
        there = ax.get_legend().get_window_extent()
        assert not there.overlaps(title)
        assert there.x0 >= 0
        assert there.x1 <= figure.bbox.x1
        assert not any(there.overlaps(other.get_window_extent()) for other in axes.flat)


def test_axes_come_back_as_they_were_given_and_no_figure_is_made():
    before = plt.get_fignums()
    row = Figure().subplots(1, 4)
    assert (traces(trace_of(), axes=row) == row).all()
    assert plt.get_fignums() == before
    own = traces(trace_of())
    assert own.shape == (2, 2)
    plt.close(own[0, 0].figure)


def test_too_few_axes_and_an_empty_trace_are_refused():
    with pytest.raises(InputError, match="axes must be 4 axes, got 3"):
        traces(trace_of(), axes=Figure().subplots(1, 3))
    with pytest.raises(NoDrawsError, match="a picture needs draws"):
        draw(trace_of(draws=0))


# ArviZ 0.23 asks matplotlib 3.11 for aliases in a way that 3.13 will not know; nothing to act on here
@pytest.mark.filterwarnings("ignore:Passing a dict or None as alias_mapping")
@pytest.mark.parametrize("name", ["plot_trace", "plot_autocorr", "plot_rank"])
def test_arviz_draws_the_trace(name):
    """ArviZ's own pictures take what `to_arviz` gives, whichever ArviZ is installed."""
    import arviz as az

    drawn = getattr(az, name)(trace_of().to_arviz(), var_names=["excess"])
    held = np.asarray(drawn, dtype=object).ravel() if hasattr(drawn, "__len__") else None
    figure = plt.gcf() if held is None else held[0].figure
    assert figure.axes
    plt.close("all")
