"""The baseline is exact, the set-up checks name what is wrong, and both cost next to nothing."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from slt.errors import DataError, InputError, LossError, ParametersError, SettingsError
from slt.problem import Problem, untouched
from slt.problem.evaluate import InPlace, Vectorized
from tests.models import CASES, drawn, mean_only, mlp, per_example, positions, seeded

X, Y = drawn(20, 4, seed=1), drawn(20, 3, seed=2)


# --- the baseline --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 7, 1])
@pytest.mark.parametrize("name", CASES)
def test_the_baseline_is_the_loss_of_every_example_in_its_place(name: str, batch_size: int | None):
    case = CASES[name]()
    problem = Problem(case.model, case.data, case.loss, batch_size=batch_size)
    plain = case._value(case.model.eval(), torch.arange(case.n)).detach()
    torch.testing.assert_close(problem.loss_center, float(plain.mean()), rtol=1e-12, atol=0)
    if plain.ndim:
        torch.testing.assert_close(problem.baseline, plain, rtol=1e-9, atol=1e-12)
    else:
        assert problem.baseline is None


def test_the_excess_of_attention_with_padding_is_paired_with_the_path_that_is_differentiated():
    """torch's inference kernel zeroes padded positions, which would shift every excess by the same amount."""
    case = CASES["encoder with padding"]()
    problem = Problem(case.model, case.data, case.loss)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors is in prototype stage")
        inference = float(case.loss(case.model.eval(), case.batch(torch.arange(case.n))).mean())
    assert abs(inference - problem.loss_center) > 0.01, "the case must tell the two paths apart"
    with untouched(case.model):
        for method in (InPlace, Vectorized):
            w, _ = positions(method(problem), problem.segments, 1, spread=0.0)
            assert abs(float(method(problem).evaluate(w, None).excess[0])) < 1e-12


def test_a_loss_that_differentiates_can_be_measured():
    """A penalty on the slope of the output, which needs gradients on wherever the loss is called."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x = batch[0].detach().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return slope.square().sum(1)

    with torch.no_grad():
        problem = Problem(mlp(4, 5, 3), (X, Y), loss)
    assert problem.loss_center > 0


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_user_may_have_switched_gradients_off(context: Callable[[], Any]):
    model = mlp(4, 5, 3)
    with context():
        problem = Problem(model, (X, Y), per_example)
        with untouched(model):
            evaluator = Vectorized(problem)
            w, _ = positions(evaluator, problem.segments, 2)
            off = evaluator.evaluate(w, None)
    with untouched(model):
        on = evaluator.evaluate(w, None)
    assert torch.equal(off.excess, on.excess)
    assert torch.equal(off.grad["w"], on.grad["w"])


def test_the_default_temperature_is_n_over_log_n():
    assert Problem(mlp(4, 3), (X, Y), per_example).default_nbeta() == 20 / math.log(20)


# --- bad input -----------------------------------------------------------------------------------------------


class Dropping(nn.Module):
    """Dropout that eval mode does not stop."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(4, 3), scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * functional.dropout(self.layer(x), 0.5, training=True)


def normalised() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def training(model: nn.Module, batch: Any) -> Tensor:
    model.train()
    return per_example(model, batch)


def halved(model: nn.Module, batch: Any) -> Tensor:
    """Divides by a statistic of its batch."""
    each = per_example(model, batch)
    return each / each.detach().std()


def by_tokens(model: nn.Module, batch: Any) -> Tensor:
    """Each example counts by something of its own."""
    tokens = 1 + batch[0][:, 0].square()
    return (tokens * per_example(model, batch)).sum() / tokens.sum()


OTHER = mlp(4, 3, seed=9)
REFUSED: dict[str, tuple[nn.Module, Any, str]] = {
    "two axes": (mlp(4, 3), lambda m, b: (m(b[0]) - b[1]).square(), r"got shape \(16, 3\) for a batch of 16"),
    "one too many": (mlp(4, 3), lambda m, b: m(b[0])[:1, 0], r"got shape \(1,\)"),
    "column": (mlp(4, 3), lambda m, b: per_example(m, b)[:, None], r"got shape \(16, 1\)"),
    "not a tensor": (mlp(4, 3), lambda m, b: mean_only(m, b).item(), "floating tensor of nats, got float"),
    "nothing": (mlp(4, 3), lambda m, b: None, "got NoneType"),
    "integers": (mlp(4, 3), lambda m, b: m(b[0]).argmax(1), "got torch.int64"),
    "a sum for a mean": (
        mlp(4, 3),
        lambda m, b: per_example(m, b).sum(),
        "must be a mean over the rows of its batch.*looks like a sum",
    ),
    "a mean over tokens": (mlp(4, 3), lambda m, b: by_tokens(m, b), "looks like a mean over tokens"),
    "a scaled sum": (mlp(4, 3), lambda m, b: per_example(m, b).sum() / 20, "looks like a sum"),
    "NaN": (mlp(4, 3), lambda m, b: per_example(m, b) * math.nan, r"finite, got NaN or infinity in 20 of 20"),
    "infinity on one row": (
        mlp(4, 3),
        lambda m, b: per_example(m, b) + torch.where(b[0][:, 0] == X[18, 0], math.inf, 0.0),
        "NaN or infinity in 1 of 20 values of rows 0 to 19",
    ),
    "infinite slope": (
        mlp(4, 3),
        lambda m, b: per_example(m, b) + (m[0].bias - m[0].bias.detach()).sum().abs().sqrt(),
        "gradient of the loss at w\\* must be finite",
    ),
    "no model": (mlp(4, 3), lambda m, b: b[0].square().sum(1), "must depend on the moving parameters"),
    "another model": (mlp(4, 3), lambda m, b: per_example(OTHER, b), "must depend on the moving parameters"),
    "detached": (mlp(4, 3), lambda m, b: per_example(m, b).detach(), "with gradients on"),
    "gradients off": (mlp(4, 3), torch.no_grad()(per_example), "with gradients on"),
    "dropout": (seeded(Dropping), per_example, "dropout or BatchNorm in training mode"),
    "dropout, mean loss": (seeded(Dropping), mean_only, "dropout or BatchNorm in training mode"),
    "dropout at a tiny loss": (
        seeded(lambda: Dropping(1e-3)),
        lambda m, b: m(b[0]).square().sum(1),
        "dropout or BatchNorm in training mode",
    ),
    "train() and BatchNorm": (seeded(normalised), training, "BatchNorm in training mode"),
    "train() and BatchNorm, mean loss": (
        seeded(normalised),
        lambda m, b: training(m, b).mean(),
        r"must leave the model in eval mode, but it calls train\(\)",
    ),
    "statistics of the batch": (mlp(4, 3), halved, "divides by something of its batch"),
    "noise": (mlp(4, 3), lambda m, b: per_example(m, b) + 1e-3 * torch.rand(len(b[0])), "a second evaluation"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_loss_that_cannot_be_used_is_refused_and_the_model_untouched(kind: str):
    model, loss, message = REFUSED[kind]
    model.train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    random = torch.get_rng_state()
    with pytest.raises(LossError, match=message):
        Problem(model, (X, Y), loss)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("n", [2, 3, 5, 16, 20])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_mean_of_any_size_passes_and_a_mean_over_tokens_does_not(n: int, scale: float):
    """In float32, whose rounding must not be taken for a wrong mean."""
    model, data = mlp(4, 3).float(), (X[:n].float(), Y[:n].float())
    Problem(model, data, lambda m, b: scale * mean_only(m, b))
    if scale >= 1:
        with pytest.raises(LossError, match="looks like a mean over tokens"):
            Problem(model, data, lambda m, b: scale * by_tokens(m, b))


def test_rows_that_weigh_more_are_found_at_the_end_of_the_data():
    """Sorted data: the first half of 200 rows weigh the same."""
    x = drawn(200, 4, seed=3)
    x[:, 0] = (torch.arange(200) >= 100).double()
    with pytest.raises(LossError, match="looks like a mean over tokens"):
        Problem(mlp(4, 3), (x, drawn(200, 3, seed=4)), by_tokens)


def test_an_exception_of_the_first_call_says_how_the_loss_is_called():
    def outputs_and_targets(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean(1)

    with pytest.raises(TypeError) as caught:
        Problem(mlp(4, 3), (X, Y), outputs_and_targets)
    assert "loss(model, batch)" in str(caught.value)


def test_shapes_that_do_not_fit_are_told() -> None:
    data = torch.randn(30, 3), torch.zeros(30, dtype=torch.long)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        Problem(nn.Linear(5, 2), data, "cross_entropy")
    assert "a batch of type tuple that holds (16, 3) torch.float32, (16,) torch.int64" in str(caught.value)


@pytest.mark.parametrize("n", [3, 10, 16, 17])
@pytest.mark.parametrize(
    ("model", "loss"), [(mlp(4, 3), halved), (seeded(normalised), training)], ids=["statistics", "BatchNorm"]
)
def test_a_loss_that_minds_its_company_is_refused_on_few_examples_too(model: nn.Module, loss: Any, n: int):
    with pytest.raises(LossError, match=r"divides by something of its batch|leave the model in eval mode"):
        Problem(model, (X[:n], Y[:n]), loss)


def test_a_loss_that_squeezes_a_batch_of_one_is_refused():
    """20 rows in chunks of 19 and 1: the last comes back without its axis."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return per_example(model, batch).squeeze()

    with pytest.raises(LossError, match=r"always the same of the two, got shape \(\) for a batch of 1"):
        Problem(mlp(4, 3), (X, Y), loss, batch_size=19)


def test_augmentation_in_fetched_data_is_named(monkeypatch: pytest.MonkeyPatch):
    """Too large to hold, and random beyond the rows that reading looks at."""
    monkeypatch.setattr("slt.problem.reading._HELD_BYTES", 1)
    monkeypatch.setattr("slt.problem.reading.torch.equal", lambda a, b: True)

    class Shaken(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            return X[i] + torch.rand(()), Y[i]

    with pytest.raises(LossError, match="random augmentation"):
        Problem(mlp(4, 3), Shaken(), per_example)


def test_a_batch_size_above_n_is_refused_before_the_data_are_passed_over():
    calls = 0

    def loss(model: nn.Module, batch: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return per_example(model, batch)

    with pytest.raises(SettingsError, match="at most n = 20, got 21; None uses all the data"):
        Problem(mlp(4, 3), (X, Y), loss, batch_size=21)
    assert calls == 0


@pytest.mark.parametrize(
    ("data", "parameters", "error"),
    [
        ((X[:0], Y[:0]), None, DataError),
        ((X, Y[:5]), None, DataError),
        ((X / 0, Y), None, DataError),
        ((X, Y), "oops", ParametersError),
        ((X, Y), {"0.weight": torch.zeros(3, 4, dtype=torch.bool)}, ParametersError),
    ],
)
def test_bad_data_and_selections_are_refused_before_the_loss_is_called(
    data: Any, parameters: Any, error: type[InputError]
):
    def loss(model: nn.Module, batch: Any) -> Tensor:
        raise AssertionError("the loss was called")

    with pytest.raises(error):
        Problem(mlp(4, 3), data, loss, parameters=parameters)


@pytest.mark.parametrize("n", [1, 2])
def test_two_examples_have_no_default_temperature(n: int):
    with pytest.raises(DataError, match=f"needs n > 2 examples, got {n}. Pass nbeta"):
        Problem(mlp(4, 3), (X[:n], Y[:n]), per_example).default_nbeta()


def test_a_model_that_was_trained_on_since_is_refused():
    model = mlp(4, 3)
    problem = Problem(model, (X, Y), per_example)
    problem.require_center()
    with torch.no_grad():
        model[0].bias[1] += 1e-3
    with pytest.raises(InputError, match=r"stay at w\*, but parameter '0.bias' has changed .* \(1 of 2 tensors did\)"):
        problem.require_center()


def permuted(model: nn.Module) -> None:
    """The same numbers in another order: sum and norm of each tensor stay."""
    model[0].weight.copy_(model[0].weight.flip(0))
    model[0].bias.copy_(model[0].bias.flip(0))


def shifted_statistics(model: nn.Module) -> None:
    model[1].running_mean += 1


@pytest.mark.parametrize(
    ("change", "named"), [(permuted, "parameter '0.weight'"), (shifted_statistics, r"buffer '1\.running_mean'")]
)
def test_other_weights_of_the_same_norm_and_other_buffers_are_refused(change: Callable[[Any], None], named: str):
    model = seeded(normalised)
    problem = Problem(model, (X, Y), per_example)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with torch.no_grad():
        change(model)
    with pytest.raises(InputError, match=f"but {named} has changed since the posterior was built"):
        problem.require_center()
    model.load_state_dict(before)
    problem.require_center()


@pytest.mark.parametrize(
    "buffer",
    [
        torch.eye(3).to_sparse(),
        torch.tensor([1 + 2j, 3j]).conj(),
        torch.tensor(True),
        torch.zeros(2, 2, dtype=torch.bfloat16).T,
        torch.empty(0),
    ],
    ids=["sparse", "conjugate", "bool", "bfloat16", "empty"],
)
def test_buffers_of_any_kind_have_a_fingerprint(buffer: Tensor):
    model = mlp(4, 3)
    model.register_buffer("held", buffer)
    Problem(model, (X, Y), per_example).require_center()


# --- what must not matter ------------------------------------------------------------------------------------


def excess_of(loss: Any, rows: Tensor, method: type) -> Tensor:
    model = mlp(4, 5, 3)
    problem = Problem(model, (X[rows], Y[rows]), loss)
    with untouched(model):
        evaluator = method(problem)
        w, _ = positions(evaluator, problem.segments, 2)
        return evaluator.evaluate(w, None).excess


@settings(max_examples=25)
@given(constant=st.floats(-1e3, 1e3), mean=st.booleans(), vectorized=st.booleans())
def test_a_constant_added_to_the_loss_leaves_the_excess(constant: float, mean: bool, vectorized: bool):
    loss, method = (mean_only if mean else per_example), (Vectorized if vectorized else InPlace)
    plain = excess_of(loss, torch.arange(20), method)
    shifted = excess_of(lambda m, b: loss(m, b) + constant, torch.arange(20), method)
    torch.testing.assert_close(shifted, plain, rtol=0, atol=4 * 2**-52 * (abs(constant) + 100))


@settings(max_examples=25)
@given(order=st.permutations(range(20)), mean=st.booleans(), vectorized=st.booleans())
def test_the_order_of_the_examples_leaves_the_excess_on_all_data(order: list[int], mean: bool, vectorized: bool):
    loss, method = (mean_only if mean else per_example), (Vectorized if vectorized else InPlace)
    plain = excess_of(loss, torch.arange(20), method)
    torch.testing.assert_close(excess_of(loss, torch.tensor(order), method), plain, rtol=1e-12, atol=1e-13)


@settings(max_examples=25)
@given(batch_size=st.integers(1, 20), mean=st.booleans(), vectorized=st.booleans())
def test_the_size_of_chunks_leaves_the_excess_on_all_data(batch_size: int, mean: bool, vectorized: bool):
    loss, method = (mean_only if mean else per_example), (Vectorized if vectorized else InPlace)
    model = mlp(4, 5, 3)
    problem = Problem(model, (X, Y), loss, batch_size=batch_size)
    with untouched(model):
        evaluator = method(problem)
        w, _ = positions(evaluator, problem.segments, 2)
        found = evaluator.evaluate(w, None).excess
    torch.testing.assert_close(found, excess_of(loss, torch.arange(20), method), rtol=1e-12, atol=1e-13)
