"""What every toy owes: a minimum at w*, a scalar loss of any batch, vmap, and a quiet construction."""

import pickle
import random
from collections.abc import Callable
from math import exp
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from slt import toys
from slt.errors import SettingsError
from tests.toys import networks, potentials, statistical
from tests.toys.at_points import Wrapper, curvatures, hessian_rank

MAKERS: dict[str, Callable[..., toys.Toy]] = {**potentials.MAKERS, **networks.MAKERS, **statistical.MAKERS}


every_toy = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@pytest.fixture
def float64():
    """Exact work in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def perturbed(wrapper: Wrapper, chains: int) -> dict[str, Tensor]:
    """The parameters of `chains` chains around w*, chain axis first."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: p.detach() + torch.randn(chains, *p.shape, generator=generator) for name, p in wrapper.named_parameters()
    }


@every_toy
@pytest.mark.usefixtures("float64")
def test_loss_and_gradient_vanish_at_center(make: Callable[..., toys.Toy]):
    toy = make()
    loss = toy.loss(toy.model, toy.data)
    loss.backward()
    assert abs(loss.item()) < 1e-14
    for parameter in toy.model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() < 1e-12


@every_toy
@pytest.mark.usefixtures("float64")
def test_center_is_a_minimum_and_its_curvature_bounds_the_answer(make: Callable[..., toys.Toy]):
    toy = make()
    found = curvatures(toy)
    assert found[0] > -1e-10 * max(found[-1].item(), 1e-3)
    if toy.exact is not None:
        assert hessian_rank(toy) / 2 <= toy.exact.value <= len(found) / 2


@every_toy
@pytest.mark.usefixtures("float64")
def test_exact_law_is_that_of_the_loss(make: Callable[..., toys.Toy]):
    toy = make()
    wrapper = Wrapper(toy)
    nbeta, localization = 2.0, 3.0
    exact = None if toy.exact is None else toy.exact.tempered(nbeta, localization=localization).log_z
    if exact is None or exact.kind != "exact" or exact.value is None:
        return
    generator = torch.Generator().manual_seed(2)
    draws = {
        name: p.detach() + localization**-0.5 * torch.randn(40_000, *p.shape, generator=generator)
        for name, p in wrapper.named_parameters()
    }
    weights = torch.exp(-nbeta * vmap(lambda w: functional_call(wrapper, w, (toy.data,)))(draws))
    # the law's prior has its centre at 0: at another w* an entry must not answer for the toy
    error = weights.std() / 40_000**0.5
    assert abs(weights.mean() - exp(exact.value)) < 4 * error


@every_toy
@pytest.mark.usefixtures("float64")
def test_vmap_equals_a_loop(make: Callable[..., toys.Toy]):
    toy = make()
    wrapper = Wrapper(toy)
    params = perturbed(wrapper, chains=7)

    def value(w: dict[str, Tensor]) -> Tensor:
        return functional_call(wrapper, w, (toy.data,))

    gradients, values = vmap(grad_and_value(value))(params)
    assert values.shape == (7,)
    assert values.std() > 0.01
    for k in range(7):
        gradient, alone = grad_and_value(value)({name: w[k] for name, w in params.items()})
        torch.testing.assert_close(values[k], alone, rtol=1e-13, atol=0)
        for name in params:
            torch.testing.assert_close(gradients[name][k], gradient[name], rtol=1e-12, atol=1e-12)


@every_toy
@pytest.mark.usefixtures("float64")
def test_gradients_equal_differences(make: Callable[..., toys.Toy]):
    toy = make()
    wrapper = Wrapper(toy)
    params = {name: w[0].requires_grad_() for name, w in perturbed(wrapper, chains=1).items()}

    def value(*leaves: Tensor) -> Tensor:
        return functional_call(wrapper, dict(zip(params, leaves, strict=True)), (toy.data,))

    assert torch.autograd.gradcheck(value, tuple(params.values()))


@every_toy
def test_loss_is_a_scalar_of_any_batch(make: Callable[..., toys.Toy]):
    toy = make(n=100)
    with torch.no_grad():
        for parameter in toy.model.parameters():
            parameter.add_(0.5)
    whole = toy.loss(toy.model, toy.data)
    part = toy.loss(toy.model, (toy.data[0][:3],))
    assert whole.shape == ()
    assert whole.item() == part.item()


@every_toy
def test_data_are_n_rows_without_features(make: Callable[..., toys.Toy]):
    assert [tuple(x.shape) for x in make(n=77).data] == [(77, 0)]
    assert [tuple(x.shape) for x in make().data] == [(1000, 0)]


@every_toy
def test_refuses_one_row(make: Callable[..., toys.Toy]):
    with pytest.raises(SettingsError, match="n must be an integer >= 2, got 1"):
        make(n=1)


@pytest.mark.parametrize("n", [0, -5, 10.0, True, None])
def test_refuses_n(n: Any):
    with pytest.raises(SettingsError, match=f"n must be an integer >= 2, got {n}"):
        toys.quadratic(2, n=n)


@every_toy
def test_construction_leaves_random_states_alone(make: Callable[..., toys.Toy]):
    states = torch.get_rng_state(), random.getstate()
    make()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


@every_toy
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_dtype_is_respected(make: Callable[..., toys.Toy], dtype: torch.dtype):
    torch.set_default_dtype(dtype)
    try:
        toy = make()
        tensors = [*toy.model.parameters(), *toy.model.buffers(), *toy.data, toy.loss(toy.model, toy.data)]
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in tensors} == {dtype}


@every_toy
def test_model_moves_as_a_whole(make: Callable[..., toys.Toy]):
    toy = make()
    assert toy.loss(toy.model.double(), toy.data).dtype == torch.float64


@every_toy
def test_checkpoint_holds_the_weights_alone(make: Callable[..., toys.Toy]):
    model = make().model
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}


@every_toy
def test_survives_pickle(make: Callable[..., toys.Toy]):
    toy = make()
    again = pickle.loads(pickle.dumps(toy))
    assert repr(again) == repr(toy)
    assert torch.equal(again.loss(again.model, again.data), toy.loss(toy.model, toy.data))


@every_toy
def test_repr_is_a_line(make: Callable[..., toys.Toy]):
    text = repr(make(n=50))
    assert text.startswith("Toy(")
    assert "parameters, n=50, exact rlct" in text
    assert len(text) < 120


def test_repr_of_an_unknown_answer():
    text = repr(MAKERS["potential"]())
    assert text == "Toy(from_potential(valley); 2 parameters, n=1000, exact rlct unknown)"
