import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from slt.errors import InputError
from slt.plots import acceptance, distances, losses, running_llc, virial

RED = "#b00020"
RNG = np.random.default_rng(0)


def axes():
    return Figure().subplots()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def labelled(ax, label):
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return line.get_ydata()


def test_losses_stand_beside_the_loss_at_the_center():
    loss = RNG.gamma(2.0, size=(3, 50)) + 0.5
    ax = losses(loss, 0.25, ax=axes())
    assert legend(ax) == ["chain 0", "1", "2", "at w*"]
    assert np.array_equal(labelled(ax, "1"), loss[1])
    assert list(labelled(ax, "at w*")) == [0.25, 0.25]
    low, high = ax.get_ylim()
    assert low < 0.25 < loss.max() < high


def test_noisy_losses_lie_under_their_moving_averages():
    loss = RNG.normal(size=(2, 200))
    ax = losses(loss, 0.0, noisy=True, ax=axes())
    raw, average = ax.get_lines()[0], ax.get_lines()[2]
    assert raw.get_alpha() < average.get_alpha()
    expected = np.convolve(loss[0], np.full(4, 0.25), "valid")
    assert average.get_ydata()[2:199] == pytest.approx(expected)
    assert np.isnan(average.get_ydata()[[0, 1, 199]]).all()
    assert legend(ax) == ["chain 0", "1", "at w*"]


def test_few_noisy_losses_stand_for_themselves():
    ax = losses(RNG.normal(size=(2, 99)), 0.0, noisy=True, ax=axes())
    assert [line.get_alpha() for line in ax.get_lines()] == [0.8, 0.8, None]


def test_running_llc_ends_at_the_means_and_shows_the_interval():
    energy = RNG.gamma(3.0, size=(4, 300))
    ax = running_llc(energy, interval=(2.9, 3.1), ax=axes())
    assert labelled(ax, "2")[[0, 9, -1]] == pytest.approx([energy[2, 0], energy[2, :10].mean(), energy[2].mean()])
    assert labelled(ax, "all chains")[-1] == pytest.approx(energy.mean())
    (band,) = ax.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((2.9, 0.2))
    assert legend(ax)[0] == "interval"


def test_an_interval_that_is_not_known_is_not_drawn():
    ax = running_llc([[1.0, 2.0]], interval=(np.nan, np.nan), ax=axes())
    assert not ax.patches


def test_the_first_draws_do_not_squash_what_has_settled():
    energy = np.full((2, 1000), 5.0)
    energy[0, 0] = 4_000.0
    low, high = running_llc(energy, ax=axes()).get_ylim()
    assert 0 < low < 5 < high < 60


def test_a_single_chain_is_not_drawn_twice():
    assert legend(running_llc([[1.0, 2.0]], ax=axes())) == ["chain 0"]


def test_acceptance_has_the_axis_of_a_probability():
    ax = acceptance([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]], ax=axes())
    assert labelled(ax, "all chains") == pytest.approx([1, 0.875, 0.75])
    assert ax.get_ylim() == (-0.03, 1.03)


def test_virial_stands_beside_the_number_of_parameters():
    ax = virial([[6.0, 4.0], [2.0, 2.0]], 40, ax=axes())
    assert list(labelled(ax, "parameters")) == [40, 40]
    assert labelled(ax, "all chains") == pytest.approx([4, 3.5])
    assert ax.get_ylim()[1] > 40


@pytest.mark.parametrize("draw", [lambda y, **o: losses(y, 0.0, **o), running_llc, distances])
def test_dead_chains_are_red_and_do_not_decide_the_axis(draw):
    y = np.ones((5, 100)) + RNG.uniform(size=(5, 100))
    y[[1, 3], 50:] = 1e30
    y[3, 60:] = np.inf
    ax = draw(y, alive=np.array([True, False, True, False, True]), ax=axes())
    red = [line for line in ax.get_lines() if line.get_color() == RED]
    assert len(red) == 2
    assert np.isfinite(red[0].get_ydata()).all()
    assert ax.get_ylim()[1] < 3
    assert "chains 1, 3 blew up" in legend(ax)
    if "all chains" in legend(ax):
        assert labelled(ax, "all chains")[-1] == pytest.approx(y[[0, 2, 4]].mean())
    ax.figure.canvas.draw()


def test_a_run_that_is_all_dead_still_has_a_picture():
    y = np.geomspace(1, 1e12, 100)[None].repeat(2, 0)
    for ax in (losses(y, 0.0, alive=np.zeros(2, bool), ax=axes()), running_llc(y, alive=np.zeros(2, bool), ax=axes())):
        assert ax.get_ylim()[1] > 1e9
        ax.figure.canvas.draw()


def test_many_chains_share_a_colour_and_a_line_in_the_legend():
    ax = distances(RNG.gamma(2.0, size=(40, 30)), ax=axes())
    assert legend(ax) == ["40 chains"]
    assert len(ax.get_lines()) == 40
    assert {line.get_color() for line in ax.get_lines()} == {"C0"}
    assert ax.get_lines()[0].get_alpha() < 0.3
    # but the legend shows the colour
    assert ax.get_legend().get_lines()[0].get_alpha() == 1


def test_a_crowd_is_thinned_and_says_so():
    y = RNG.gamma(2.0, size=(1000, 5))
    y[:, -1] = np.arange(1000)
    ax = running_llc(y, ax=axes())
    assert legend(ax) == ["64 of 1000 chains", "all chains"]
    assert len(ax.get_lines()) == 65
    assert labelled(ax, "all chains")[-1] == pytest.approx(y.mean())  # of all, drawn or not


def test_long_chains_are_thinned_but_keep_their_spikes():
    y = np.zeros((1, 100_003))
    y[0, [777, 100_002]] = 5.0, -5.0
    ax = distances(y, ax=axes())
    x, drawn = ax.get_lines()[0].get_data()
    assert len(drawn) <= 2_002
    assert (drawn.max(), drawn.min()) == (5, -5)
    assert abs(x[drawn.argmax()] - 777) <= 101
    ends = running_llc(RNG.normal(size=(2, 100_003)).cumsum(axis=1), ax=axes()).get_lines()[-1].get_xdata()
    assert (ends[-1], len(ends) < 2_002) == (100_002, True)


def test_nothing_is_shown_and_a_figure_is_made_only_where_none_is_given(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    before = plt.get_fignums()
    ax = axes()
    assert distances([[1.0]], ax=ax) is ax
    assert plt.get_fignums() == before
    own = distances([[1.0]])
    assert len(plt.get_fignums()) == len(before) + 1
    plt.close(own.figure)


@pytest.mark.parametrize(
    ("series", "alive", "message"),
    [
        ([1.0, 2.0], None, r"distance must have shape \(chains, draws\), neither of them 0, got \(2,\)"),
        (np.empty((2, 0)), None, r"got \(2, 0\)"),
        (np.ones((2, 3)), np.ones(3, bool), r"alive must be 2 bools, one a chain, got bool of shape \(3,\)"),
        (np.ones((2, 3)), np.ones(2), r"alive must be 2 bools, one a chain, got float64 of shape \(2,\)"),
    ],
)
def test_arrays_of_another_shape_are_refused(series, alive, message):
    with pytest.raises(InputError, match=message):
        distances(series, alive=alive, ax=axes())
