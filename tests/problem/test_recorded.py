"""A recording gives what the function gives, to the bit, and is refused where it could not."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.problem.evaluate import Vectorized
from slt.problem.evaluate.recorded import record

CHAINS = 5


def two_layers():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def with_layer_norm():
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2))


def convolution():
    return nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))


def posterior_of(model, loss="cross_entropy"):
    torch.manual_seed(0)
    inputs, labels = torch.randn(40, 3), torch.randint(2, (40,))
    return LocalPosterior(model, (inputs, labels), loss)


def places(posterior, count):
    torch.manual_seed(1)
    return [{"w": torch.randn(CHAINS, posterior.dimension)} for _ in range(count)]


def calls_of(model):
    """Count how often the module is called from now on."""
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("make", [two_layers, with_layer_norm, convolution])
def test_evaluations_by_a_recording_are_the_same_to_the_bit(make):
    posterior = posterior_of(make())
    calls = calls_of(posterior.problem.model)
    with untouched(posterior.problem.model):
        here = Vectorized(posterior.problem)
        for w in places(posterior, 6):
            fresh = Vectorized(posterior.problem).evaluate(w, None)
            before = len(calls)
            found = here.evaluate(w, None)
            ran = len(calls) - before
            assert torch.equal(found.excess, fresh.excess)
            assert torch.equal(found.grad["w"], fresh.grad["w"])
    assert ran == 0  # the last of them did not call the module


def test_every_number_of_chains_has_its_own_recording():
    posterior = posterior_of(two_layers())
    with untouched(posterior.problem.model):
        here = Vectorized(posterior.problem)
        for w in places(posterior, 4):
            for count in (2, CHAINS):
                some = {"w": w["w"][:count]}
                fresh = Vectorized(posterior.problem).evaluate(some, None)
                assert torch.equal(here.evaluate(some, None).grad["w"], fresh.grad["w"])


def test_a_gradient_may_be_overwritten():
    posterior = posterior_of(two_layers())
    (w,) = places(posterior, 1)
    with untouched(posterior.problem.model):
        here = Vectorized(posterior.problem)
        first = here.evaluate(w, None).grad["w"].clone()
        for _ in range(4):
            grad = here.evaluate(w, None).grad["w"]
            assert torch.equal(grad, first)
            grad.zero_()


def test_data_in_several_chunks_are_not_recorded():
    posterior = posterior_of(two_layers())
    posterior.problem.chunk = 16
    calls = calls_of(posterior.problem.model)
    with untouched(posterior.problem.model):
        here = Vectorized(posterior.problem)
        for w in places(posterior, 4):
            here.evaluate(w, None)
    assert len(calls) == 4 * 3


def looks_at_a_value(x):
    return (x * 2 if float(x.sum()) > 0 else x,)


def draws_random_numbers(x):
    return (x + torch.randn_like(x),)


def has_as_many_as_there_are(x):
    return (x[x > 0].sum(),)


def writes_to_its_input(x):
    return (x.detach().mul_(2),)


def cannot_be_watched(x):
    if is_in_torch_dispatch_mode():
        raise NotImplementedError
    return (x * 2,)


def python_counts():
    calls = []

    def function(x):
        calls.append(1)
        return (x * len(calls),)

    return function


def writes_to_a_buffer():
    buffer = torch.zeros(3)

    def function(x):
        buffer.add_(1)
        return (x + buffer,)

    return function


@pytest.mark.parametrize(
    "function",
    [
        looks_at_a_value,
        draws_random_numbers,
        has_as_many_as_there_are,
        writes_to_its_input,
        cannot_be_watched,
        python_counts(),
        writes_to_a_buffer(),
    ],
)
def test_what_could_differ_another_time_is_refused(function):
    assert record(function, [torch.ones(3)]) is None


def test_large_functions_are_refused():
    assert record(lambda x: (x.expand(2**12, 2**12).sum(),), [torch.ones(1)]) is None


def test_what_is_written_to_a_view_is_kept():
    def function(x):
        total = torch.zeros(4)
        total[1:3].add_(x)
        unused = x * 3  # noqa: F841  left out of the recording
        return total, total * x.sum()

    recording = record(function, [torch.ones(2)])
    assert recording is not None
    x = torch.tensor([2.0, -5.0])
    for found, expected in zip(recording(x), function(x), strict=True):
        assert torch.equal(found, expected)
