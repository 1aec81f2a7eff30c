import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from slt.errors import InputError
from slt.plots import over_training

STEPS = np.array([1, 10, 100, 1000, 10_000])
VALUE = np.array([-373.0, 3.0, 14.0, 20.0, 33.0])
ERROR = np.array([12.0, 1.0, 1.0, 3.0, 0.5])
OK = np.array([False, True, True, False, True])


def draw(value=VALUE, error=ERROR, **options):
    options = {"ok": OK, "ax": Figure().subplots(), **options}
    return over_training(STEPS, value, value - error, value + error, **options)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def bars(ax):
    """Read (x, low, high) of every error bar that was drawn, by the label of its series."""
    return {
        container.get_label(): [
            (float(a[0]), float(a[1]), float(b[1])) for a, b in container.lines[2][0].get_segments()
        ]
        for container in ax.containers
    }


def test_reliable_and_unreliable_points_are_told_apart():
    ax = draw()
    assert legend(ax) == ["LLC", "unreliable", "unreliable, off the axis (down to -373)"]
    assert bars(ax) == {
        "LLC": [(10, 2, 4), (100, 13, 15), (10_000, 32.5, 33.5)],
        "unreliable": [(1000, 17, 23)],
    }
    faces = [container.lines[0].get_markerfacecolor() for container in ax.containers]
    assert faces == ["C0", "none"]


def test_a_hugely_negative_unreliable_point_does_not_squash_the_picture():
    ax = draw()
    low, high = ax.get_ylim()
    assert -3 < low < 0
    assert 33.5 < high < 37
    (arrow,) = [line for line in ax.lines if line.get_marker() == "v"]
    assert arrow.get_xdata().tolist() == [1]
    bottom, top = ax.transAxes.inverted().transform(arrow.get_transform().transform([(1, 0), (1, 1)]))[:, 1]
    assert (bottom, top) == pytest.approx((0, 1))  # its height counts in the axis, not in data


def test_an_unreliable_point_far_above_points_up():
    ax = draw(np.array([500.0, 3, 14, 20, 33]))
    assert legend(ax)[-1] == "unreliable, off the axis (up to 500)"
    assert ax.get_ylim()[1] < 40


def test_a_reliable_point_is_never_cut_off():
    ax = draw(ok=np.ones(5, bool))
    assert ax.get_ylim()[0] < -385
    assert legend(ax) == ["LLC"]


def test_without_a_reliable_point_the_plausible_ones_set_the_axis():
    ax = draw(ok=np.zeros(5, bool))
    assert -3 < ax.get_ylim()[0] < 0
    assert legend(ax) == ["unreliable", "unreliable, off the axis (down to -373)"]
    assert draw(-abs(VALUE), ok=np.zeros(5, bool)).get_ylim()[0] < -373


def test_the_line_breaks_at_unreliable_points_and_follows_the_steps():
    shuffled = [3, 1, 4, 0, 2]
    ax = Figure().subplots()
    v, e = VALUE[shuffled], ERROR[shuffled]
    over_training(STEPS[shuffled], v, v - e, v + e, ok=OK[shuffled], ax=ax)
    line = ax.lines[0]
    assert line.get_xdata().tolist() == STEPS.tolist()
    assert np.array_equal(line.get_ydata(), [np.nan, 3, 14, np.nan, 33], equal_nan=True)


def test_losses_go_on_a_logarithmic_axis_of_their_own():
    ax = draw(losses={"train loss": 1 / STEPS, "test loss": np.full(5, 0.5)})
    twin = ax.figure.axes[-1]
    assert twin is not ax
    assert (twin.get_yscale(), ax.get_yscale()) == ("log", "linear")
    assert [line.get_ydata().tolist() for line in twin.lines] == [(1 / STEPS).tolist(), [0.5] * 5]
    assert legend(ax)[-2:] == ["train loss", "test loss"]


def test_missing_intervals_and_values_are_drawn_without_a_bar():
    value, error = VALUE.copy(), ERROR.copy()
    error[2] = np.nan
    value[4] = np.nan
    ax = draw(value, error)
    assert np.isfinite(ax.get_ylim()).all()
    ax.figure.canvas.draw()


def test_it_draws_where_it_is_told_and_shows_nothing(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    ax = Figure().subplots()
    assert draw(ax=ax, label="lambda") is ax
    assert (ax.get_ylabel(), legend(ax)[0]) == ("lambda", "lambda")
    before = plt.get_fignums()
    own = draw(ax=None)
    assert len(plt.get_fignums()) == len(before) + 1
    plt.close(own.figure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ok": [True]}, r"ok must be 5 numbers, one for each step, got shape \(1,\)"),
        ({"losses": {"train": np.ones(4)}}, r"train must be 5 numbers, one for each step, got shape \(4,\)"),
        ({"value": np.ones((5, 1)), "error": 0}, r"value must be 5 numbers"),
    ],
)
def test_arrays_of_another_length_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        draw(**options)


def test_nothing_to_draw_is_refused():
    with pytest.raises(InputError, match=r"steps must be one number a point, got shape \(0,\)"):
        over_training([], [], [], [])
