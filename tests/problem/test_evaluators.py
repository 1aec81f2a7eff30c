"""Both evaluators against a slow obvious one, for models of every kind; what cannot vectorize is refused by name."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from slt._tree import Params
from slt.errors import VectorizationError
from slt.posterior import LocalPosterior
from slt.problem import Problem, untouched
from slt.problem.evaluate import Evaluator, InPlace, Vectorized, choose_evaluator
from tests.models import CASES, Case, by_tensor, drawn, mean_only, mlp, per_example, positions, seeded, tensors_case

CHAINS = 3
METHODS = {"vectorized": Vectorized, "in_place": InPlace}
ROWS = {"full": None, "full in ragged chunks": 7, "minibatch": None}


def problem_of(case: Case, batch_size: int | None = None) -> Problem:
    return Problem(case.model, case.data, case.loss, parameters=case.parameters, batch_size=batch_size)


def exactly(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


# --- both evaluators against the obvious one -----------------------------------------------------------------


def runs(name: str, method: str, rows: str) -> bool:
    """Whether torch can; what it cannot is refused by name, which is tested below."""
    refused = name in ("lstm", "weight norm") or (name, rows) == ("time first", "minibatch")
    return method == "in_place" or not refused


@pytest.mark.parametrize(
    ("name", "method", "rows_kind"), [x for x in itertools.product(CASES, METHODS, ROWS) if runs(*x)]
)
def test_excess_and_gradient_are_those_of_the_obvious_evaluation(name: str, method: str, rows_kind: str):
    case = CASES[name]()
    problem = problem_of(case, ROWS[rows_kind])
    rows = None
    if rows_kind == "minibatch":
        rows = torch.randint(problem.n, (CHAINS, 6), generator=torch.Generator().manual_seed(5))
    with untouched(case.model):
        evaluator = METHODS[method](problem)
        w, each = positions(evaluator, problem.segments, CHAINS)
        found = evaluator.evaluate(w, rows)
        at_center = evaluator.evaluate(positions(evaluator, problem.segments, CHAINS, spread=0.0)[0], rows)
    assert found.excess.dtype == torch.float64
    exactly(at_center.excess, torch.zeros(CHAINS, dtype=torch.float64))
    for k in range(CHAINS):
        excess, grads = case.plain(problem.segments, each[k], torch.arange(case.n) if rows is None else rows[k])
        assert abs(float(excess)) > 1e-4, "the test needs positions that differ from w*"
        exactly(found.excess[k], excess)
        for ours, plain in zip(by_tensor(evaluator, found), grads, strict=True):
            exactly(ours[k], plain)


@pytest.mark.parametrize("name", CASES)
def test_auto_vectorizes_whatever_torch_can(name: str):
    case = CASES[name]()
    posterior = LocalPosterior(case.model, case.data, case.loss, parameters=case.parameters, batch_size=5)
    with untouched(case.model):
        evaluator = posterior.bind("auto", CHAINS).evaluator
    assert type(evaluator) is (Vectorized if case.vectorizes else InPlace)
    assert any("one after another" in note for note in posterior.notes) is not case.vectorizes


@pytest.mark.parametrize("method", METHODS)
def test_pack_and_unpack_are_inverse(method: str):
    case = CASES["masked entries"]()
    problem = problem_of(case)
    evaluator = METHODS[method](problem)
    w, each = positions(evaluator, problem.segments, CHAINS)
    for i, leaf in enumerate(evaluator.unpack(w)):
        assert torch.equal(leaf, torch.stack([tensors[i] for tensors in each]))
    assert sum(sum(sizes) for sizes in evaluator.leaves.values()) == problem.dimension


@pytest.mark.parametrize("name", ["shared gradient", "expanded gradient", "tied", "mlp"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chains", [1, 2])
def test_the_caller_may_overwrite_every_leaf_of_the_gradient(name: str, method: str, chains: int):
    case = CASES[name]()
    problem = problem_of(case)
    with untouched(case.model):
        evaluator = METHODS[method](problem)
        w, _ = positions(evaluator, problem.segments, chains)
        spent, kept = evaluator.evaluate(w, None).grad, evaluator.evaluate(w, None).grad
    for leaf in spent.values():
        leaf.mul_(2)
    for key, leaf in spent.items():
        assert torch.equal(leaf, 2 * kept[key])


def test_gradients_do_not_reach_into_the_positions():
    case = CASES["mlp"]()
    problem = problem_of(case)
    with untouched(case.model):
        for method in METHODS.values():
            evaluator = method(problem)
            w, _ = positions(evaluator, problem.segments, 1)
            before = {name: leaf.clone() for name, leaf in w.items()}
            for leaf in evaluator.evaluate(w, None).grad.values():
                leaf.fill_(torch.nan)
            assert all(torch.equal(w[name], before[name]) for name in w)
            assert not any(leaf.requires_grad for leaf in w.values())


def test_the_ragged_last_chunk_counts_by_its_size():
    """23 rows in chunks of 22 and 1, where the odd one out has a loss of its own."""
    x = torch.zeros(23, 4, dtype=torch.float64)
    x[-1] = 10.0
    y = torch.zeros(23, 3, dtype=torch.float64)
    for loss in (per_example, mean_only):
        problem = Problem(mlp(4, 5, 3), (x, y), loss, batch_size=22)
        whole = loss(problem.model, (x, y)).detach().mean()
        exactly(problem.loss_center, float(whole))


def test_between_evaluations_the_module_holds_its_own_weights_in_place():
    """The loss of a mean is paired, and a hook may look, while the module stands at w*."""
    model = mlp(4, 5, 3)
    model[0].requires_grad_(False)
    problem = Problem(model, (drawn(20, 4), drawn(20, 3)), per_example, parameters="*")
    with untouched(model):
        own = [(p.data_ptr(), p.requires_grad) for p in model.parameters()]
        evaluator = InPlace(problem)
        evaluator.evaluate(positions(evaluator, problem.segments, 2)[0], None)
        assert [(p.data_ptr(), p.requires_grad) for p in model.parameters()] == own


# --- refusals ------------------------------------------------------------------------------------------------


class Warped(nn.Module):
    """A network with an operation in its middle."""

    def __init__(self, middle: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 5), nn.Linear(5, 3)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.middle(self.inner(x)))


class OldSquare(torch.autograd.Function):
    """A custom operation of the old kind, which functorch does not take."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * grads[0]


class NewSquare(torch.autograd.Function):
    """A custom operation of the new kind, without a rule for vmap."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * grads[0]


def branch(h: Tensor) -> Tensor:
    return h.tanh() if bool(h.detach().square().mean() < 1e6) else h


def item(h: Tensor) -> Tensor:
    return h.tanh() * (1.0 if h.detach().square().mean().item() < 1e6 else 2.0)


def through_numpy(h: Tensor) -> Tensor:
    return h.tanh() * float((h.detach().numpy() < 1e6).all())


def boolean_index(h: Tensor) -> Tensor:
    out = torch.zeros_like(h)
    out[h > 0] = h[h > 0]
    return out


def written_in_place(h: Tensor) -> Tensor:
    out = torch.zeros(h.shape, dtype=h.dtype)
    out += h.tanh()
    return out


def slope(h: Tensor) -> Tensor:
    """A network that differentiates inside."""
    inner = torch.ones_like(h).requires_grad_()
    (grad,) = torch.autograd.grad(((inner * h) ** 3).sum(), inner, create_graph=True)
    return grad


def looped(h: Tensor) -> Tensor:
    """An operation that torch runs chain by chain, and warns."""
    return h.tanh() + 0 * torch.histc(h.detach(), 2).sum()


class OwnList(nn.Module):
    """Keeps its weight in a plain list, which a functional call does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.weights = [self.layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weights[0].T


class HalfOwnList(OwnList):
    """Uses the listed weight, and its own bias as it should."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weights[0].T + self.layer.bias


def warped(middle: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Warped(middle)


REFUSED: dict[str, Callable[[], nn.Module]] = {
    "branch on a value": warped(branch),
    "item": warped(item),
    "numpy": warped(through_numpy),
    "boolean index": warped(boolean_index),
    "old autograd function": warped(OldSquare.apply),
    "new autograd function": warped(NewSquare.apply),
    "activation checkpoint": warped(lambda h: checkpoint(torch.tanh, h, use_reentrant=False)),
    "written in place": warped(written_in_place),
    "differentiates inside": warped(slope),
    "no batching rule": warped(looped),
    "own list of weights": OwnList,
    "own list beside a parameter": HalfOwnList,
}


def refused_case(name: str) -> Case:
    return tensors_case(seeded(REFUSED[name]), (drawn(20, 4, seed=1), drawn(20, 3, seed=2)), per_example)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_vectorize_runs_in_place_with_a_note_and_is_right(name: str):
    case = refused_case(name)
    problem = problem_of(case)
    with untouched(case.model):
        evaluator = choose_evaluator(problem, "auto", CHAINS)
        assert type(evaluator) is InPlace
        w, each = positions(evaluator, problem.segments, CHAINS)
        found = evaluator.evaluate(w, None)
    assert [note.startswith("chains run one after another: ") for note in problem.notes] == [True]
    assert "\n" not in problem.notes[0]
    if name.startswith("own list"):
        return  # a copy of such a module keeps the original's list: the obvious evaluation is wrong too
    for k in range(CHAINS):
        excess, grads = case.plain(problem.segments, each[k], torch.arange(case.n))
        exactly(found.excess[k], excess)
        for ours, plain in zip(by_tensor(evaluator, found), grads, strict=True):
            exactly(ours[k], plain)


@pytest.mark.parametrize("name", REFUSED)
def test_vectorized_refuses_by_name(name: str):
    case = refused_case(name)
    problem = problem_of(case)
    with untouched(case.model), pytest.raises(VectorizationError):
        choose_evaluator(problem, "vectorized", CHAINS)
    assert problem.notes == []


@pytest.mark.parametrize("name", ["lstm", "time first", "weight norm"])
def test_vectorized_refuses_recurrent_networks_and_batches_without_rows_first(name: str):
    case = CASES[name]()
    problem = problem_of(case)
    with untouched(case.model), pytest.raises(VectorizationError):
        choose_evaluator(problem, "vectorized", CHAINS)


def test_a_batch_that_holds_more_than_tensors_runs_in_place():
    x, y = drawn(20, 4), drawn(20, 3)

    class Named(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, i: int) -> tuple[Tensor, Tensor, str]:
            return x[i], y[i], f"row {i}"

    problem = Problem(mlp(4, 5, 3), Named(), lambda model, batch: per_example(model, batch[:2]))
    with untouched(problem.model):
        evaluator = choose_evaluator(problem, "auto", CHAINS)
        rows = torch.arange(15).reshape(3, 5)
        found = evaluator.evaluate(positions(evaluator, problem.segments, CHAINS)[0], rows)
    assert type(evaluator) is InPlace
    assert "more than tensors" in problem.notes[0]
    plain = tensors_case(problem.model, (x, y), per_example)
    _, each = positions(evaluator, problem.segments, CHAINS)
    for k in range(CHAINS):
        exactly(found.excess[k], plain.plain(problem.segments, each[k], rows[k])[0])


def test_a_compiled_module_runs_in_place():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = torch.jit.script(mlp(4, 5, 3))
    plain = mlp(4, 5, 3)
    data = drawn(20, 4), drawn(20, 3)
    problem = Problem(model, data, per_example)
    with untouched(model):
        evaluator = choose_evaluator(problem, "auto", CHAINS)
        assert type(evaluator) is InPlace
        w, each = positions(evaluator, problem.segments, CHAINS)
        found = evaluator.evaluate(w, None)
    assert "compiled" in problem.notes[0]
    case = tensors_case(plain, data, per_example)
    segments = Problem(plain, data, per_example).segments
    for k in range(CHAINS):
        exactly(found.excess[k], case.plain(segments, each[k], torch.arange(20))[0])


def test_one_chain_runs_in_place_without_a_note():
    problem = problem_of(CASES["mlp"]())
    with untouched(problem.model):
        assert type(choose_evaluator(problem, "auto", 1)) is InPlace
    assert problem.notes == []


def test_a_loss_that_is_not_finite_beside_the_center_is_no_disagreement():
    model = nn.ParameterDict({"a": torch.full((3,), 0.01, dtype=torch.float64)})

    def loss(model: Any, batch: Any) -> Tensor:
        return (batch[0] * (model["a"] - 0.0099).log()).sum(1)

    problem = Problem(model, (drawn(20, 3),), loss)
    with untouched(model):
        assert type(choose_evaluator(problem, "vectorized", CHAINS)) is Vectorized


# --- the user's own exceptions -------------------------------------------------------------------------------


class Mishap(Exception):
    """Raised by a loss."""


@pytest.mark.parametrize("kind", [Mishap, RuntimeError, NotImplementedError, UserWarning, ValueError])
@pytest.mark.parametrize("method", ["auto", "vectorized", "in_place"])
def test_an_exception_of_the_loss_propagates_as_itself(method: Any, kind: type[Exception]):
    armed, error = False, kind("mine")

    def loss(model: nn.Module, batch: Any) -> Tensor:
        if armed:
            raise error
        return per_example(model, batch)

    problem = Problem(mlp(4, 5, 3), (drawn(20, 4), drawn(20, 3)), loss)
    armed = True

    def run() -> None:
        with untouched(problem.model):
            evaluator = choose_evaluator(problem, method, CHAINS)
            evaluator.evaluate(positions(evaluator, problem.segments, CHAINS)[0], None)

    with pytest.raises(kind, match="mine") as caught:
        run()
    assert caught.value is error
    assert problem.notes == []


# --- what does not move --------------------------------------------------------------------------------------


def stepped(evaluator: Evaluator, w: Params, steps: int) -> Iterator[Params]:
    """Walk at random with the gradient, as a sampler would."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        grad = evaluator.evaluate(w, None).grad
        for name, leaf in w.items():
            leaf.sub_(0.01 * grad[name] + 0.01 * torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype))
        yield w


class Watched(nn.Module):
    """Tells in its loss how far what must not move has moved."""

    def __init__(self, still: Tensor | None) -> None:
        super().__init__()
        self.inner, self.outer = mlp(4, 5)[0], mlp(5, 3)[0]
        self.register_buffer("start", self.inner.weight.detach().clone())
        self.still = torch.ones_like(self.start, dtype=torch.bool) if still is None else still

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        moved = ((model.inner.weight - model.start).abs() * self.still).sum()
        return 1e9 * moved + 0 * model.outer.weight.sum() + 0 * model.inner.weight.sum() + 0 * batch[0].sum(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["frozen by requires_grad", "not selected", "masked"])
def test_what_is_frozen_does_not_move_by_a_bit_while_the_rest_does(method: str, kind: str):
    mask = drawn(5, 4, seed=3) > 0
    model = Watched(~mask if kind == "masked" else None)
    parameters: Any = None
    if kind == "frozen by requires_grad":
        model.inner.weight.requires_grad_(False)
    elif kind == "not selected":
        parameters = ["outer", "inner.bias"]
    else:
        parameters = {"*": True, "inner.weight": mask}
    problem = Problem(model, (drawn(20, 4),), model.loss, parameters=parameters)
    frozen = int(model.still.sum())
    assert problem.dimension == sum(p.numel() for p in model.parameters()) - frozen
    with untouched(model):
        evaluator = METHODS[method](problem)
        w, start = positions(evaluator, problem.segments, CHAINS, spread=0.0)
        for here in stepped(evaluator, w, 10):
            assert torch.equal(evaluator.evaluate(here, None).excess, torch.zeros(CHAINS, dtype=torch.float64))
        for i, leaf in enumerate(evaluator.unpack(w)):
            assert leaf.shape[1] == problem.segments[i].size
            assert bool((leaf != start[0][i]).all())
    assert torch.equal(model.inner.weight, model.start)


# --- half precision ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_bfloat16_model_runs_in_bfloat16_from_a_float32_state(method: str):
    seen: set[torch.dtype] = set()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        seen.update(p.dtype for p in model.parameters())
        return per_example(model, batch)

    model = mlp(4, 5, 3).bfloat16()
    data = drawn(20, 4).bfloat16(), drawn(20, 3).bfloat16()
    problem = Problem(model, data, loss)
    assert problem.dtype == torch.float32
    with untouched(model):
        evaluator = METHODS[method](problem)
        w, each = positions(evaluator, problem.segments, CHAINS)
        w = {name: leaf.float() for name, leaf in w.items()}
        found = evaluator.evaluate(w, None)
    assert seen == {torch.bfloat16}
    assert all(leaf.dtype == torch.float32 for leaf in found.grad.values())
    case = tensors_case(model, data, per_example)
    for k in range(CHAINS):
        excess, grads = case.plain(problem.segments, [t.float() for t in each[k]], torch.arange(20))
        if method == "in_place":  # the very same operations; only the mean over rows is taken more exactly
            exactly(found.excess[k], excess_in_double(case, problem, each[k]))
            exactly([g[k] for g in by_tensor(evaluator, found)], [g.float() for g in grads])
        else:  # other kernels: a few roundings of bfloat16, 2^-8, of the loss and of the largest slope
            assert abs(float(found.excess[k] - excess)) < 4 * 2**-8 * problem.loss_center
            for ours, plain in zip(by_tensor(evaluator, found), grads, strict=True):
                assert float((ours[k] - plain).abs().max()) < 4 * 2**-8 * max(float(g.abs().max()) for g in grads)


def excess_in_double(case: Case, problem: Problem, tensors: list[Tensor]) -> Tensor:
    moved = mlp(4, 5, 3).bfloat16()
    with torch.no_grad():
        for p, t in zip(moved.parameters(), tensors, strict=True):
            p.copy_(t.float().reshape(p.shape))
        each = per_example(moved, case.data) - per_example(case.model, case.data)
    return each.mean(dtype=torch.float64)


def test_a_model_of_mixed_precision_keeps_the_finer_one():
    model = mlp(4, 5, 3)
    model[0].float()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        hidden = functional.linear(batch[0].float(), model[0].weight, model[0].bias).double()
        return (model[2](hidden.tanh()) - batch[1]).square().sum(1)

    problem = Problem(model, (drawn(20, 4), drawn(20, 3)), loss)
    assert problem.dtype == torch.float64
    with untouched(model):
        for method in METHODS.values():
            evaluator = method(problem)
            w, _ = positions(evaluator, problem.segments, 2, spread=0.0)
            exactly(evaluator.evaluate(w, None).excess, torch.zeros(2, dtype=torch.float64))
