"""Checks of what a sampler promises exactly: what it leaves alone, what it may depend on, what it tells."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slt.posterior import LocalPosterior
from slt.problem import untouched
from slt.problem.evaluate import ChainMethod
from slt.running import sample
from slt.samplers import Info, Sampler
from slt.testing.laws import Subject
from slt.testing.report import Check
from slt.testing.walk import Walk, cloned, differing
from slt.trace import Trace

_METHODS: tuple[ChainMethod, ...] = ("vectorized", "in_place")
_ROUNDING = 1e-9  # relative, in float64, after a few steps
_STEPS = 12
_WARMUP = 20
_NBETA, _LOCALIZATION, _BATCH = 20.0, 20.0, 5


def check_protocol(subject: Subject) -> Iterator[Check]:
    """What `slt.Sampler` asks for is there, and the repr tells the settings and nothing else."""
    sampler = subject.sampler
    twin = copy.deepcopy(sampler)
    yield Check("protocol", "the repr is the same for a copy", repr(twin) == repr(sampler))
    for method in _METHODS:
        posterior = network(sampler)
        with untouched(posterior.problem.model):
            walk = warm(posterior, sampler, range(3), method)
            for t in range(_WARMUP, _WARMUP + 4):
                walk.step(t)
        wrong = [text for info in walk.infos for text in _wrong(info, sampler, chains=3)]
        yield Check("protocol", f"{method}: {wrong[0] if wrong else 'Info is as described'}", not wrong)


def check_recorded(subject: Subject) -> Iterator[Check]:
    """Excess and virial are those of the position that enters the step."""
    sampler = subject.sampler
    posterior = network(sampler, batch_size=None)
    excess, virial = [], []
    with untouched(posterior.problem.model):
        walk = warm(posterior, sampler, range(3), "vectorized")
        for t in range(_WARMUP, _WARMUP + _STEPS):
            w = cloned(walk.state.w)
            walk.step(t)
            here = walk.bound.evaluate(w)
            force = walk.bound.force(w, here.grad, walk.nbeta)
            excess.append(_apart(walk.infos[-1].excess, here.excess))
            virial.append(_apart(walk.infos[-1].virial, walk.bound.virial(w, force)))
    for name, apart in (("excess", max(excess)), ("virial", max(virial))):
        yield Check("recorded", f"{name} is off that of the entering position by {apart:.0e}", apart < _ROUNDING)


def check_cloned(subject: Subject) -> Iterator[Check]:
    """A step from a cloned state gives the same bits, and changes nothing but its state."""
    for method in _METHODS:
        posterior, different = network(subject.sampler), 0
        with untouched(posterior.problem.model):
            walk = warm(posterior, subject.sampler, range(3), method)
            for t in range(_WARMUP, _WARMUP + _STEPS):
                twin, held = cloned(walk.state), cloned(_held(walk))
                other = cloned(walk.sampler.step(walk.bound, twin, walk.tuning, walk.nbeta, walk.random, t))
                walk.step(t)
                different += differing((walk.state, walk.infos[-1]), other) + differing(_held(walk), held)
        yield Check("cloned", f"{method}: {different} tensors differ after {_STEPS} steps", not different)


def check_grouping(subject: Subject) -> Iterator[Check]:
    """Chain k is the same alone or among others, by either method; another seed is another run."""
    sampler = subject.sampler
    tuning = _draws(sampler, warmup=_WARMUP, chains=4)
    alike = [
        _draws(sampler, tuning=tuning, chains=chains, chain_method=method) for chains in (4, 1) for method in _METHODS
    ]
    first = _numbers(alike[0])
    apart = max(_apart(_numbers(trace)[:, : trace.chains], first[:, : trace.chains]) for trace in alike[1:])
    yield Check("grouping", f"chains alone, among 4 and in place are {apart:.0e} apart", apart < _ROUNDING)
    other = _apart(_numbers(_draws(sampler, tuning=tuning, chains=4, seed=9)), first)
    yield Check("grouping", f"another seed is {other:.0e} apart", other > 1e-3)


def check_constant(subject: Subject) -> Iterator[Check]:
    """A constant added to the loss changes no draw."""
    plain, raised = (_draws(subject.sampler, warmup=_WARMUP, constant=c) for c in (0.0, 8.0))
    apart = _apart(_numbers(raised), _numbers(plain))
    yield Check("constant", f"8 nats more move the draws by {apart:.0e}", apart < 1e3 * _ROUNDING)


def check_frozen(subject: Subject) -> Iterator[Check]:
    """What does not move stays at w* to the bit, whole tensors and masked entries; what moves does."""
    for method in _METHODS:
        mask = torch.tensor([[True, False, True], [False, True, True], [True, True, False], [False, True, True]])
        moving: dict[str, Any] = {"0.weight": mask, "2.bias": True}
        trace = _draws(
            subject.sampler, warmup=_WARMUP, parameters=moving, chain_method=method, observe={"weights": _weights}
        )
        center = _weights(_network()).numpy()
        free = torch.cat([mask.reshape(-1), torch.zeros(4 + 8, dtype=torch.bool), torch.ones(2, dtype=torch.bool)])
        away = trace.get("observables", "weights") != center
        strayed, stuck = int(away[..., ~free.numpy()].sum()), int((~away[..., free.numpy()].any(axis=1)).sum())
        measured = f"{method}: {strayed} frozen numbers moved, {stuck} moving numbers did not"
        yield Check("frozen", measured, not strayed and not stuck)


def check_untouched(subject: Subject) -> Iterator[Check]:
    """The model is bit-identical afterwards, and so are its gradients, its flags and the global random state."""
    for method in _METHODS:
        posterior = network(subject.sampler)
        model = posterior.problem.model.train()
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        before = cloned(_all_of(model))
        settings: Any = {"chains": 2, "draws": 5, "warmup": _WARMUP, "chain_method": method, "progress": False}
        sample(posterior, subject.sampler, **settings)
        different = differing(_all_of(model), before) + (not all(m.training for m in model.modules()))
        yield Check("untouched", f"{method}: {different} things of the model differ", not different)


def network(
    sampler: Sampler, *, batch_size: int | None = _BATCH, constant: float = 0.0, **settings: Any
) -> LocalPosterior:
    """Return a posterior of a small curved network in float64, with curvatures of U up to a few hundred."""
    generator = torch.Generator().manual_seed(5)
    x, y = (torch.randn(20, k, generator=generator, dtype=torch.float64) for k in (3, 2))

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return 0.5 * (model(batch[0]) - batch[1]).square().sum(1) + constant

    rows = None if sampler.full_data else batch_size
    return LocalPosterior(
        _network(), (x, y), loss, nbeta=_NBETA, localization=_LOCALIZATION, batch_size=rows, **settings
    )


def warm(posterior: LocalPosterior, sampler: Sampler, chains: range, method: ChainMethod) -> Walk:
    """Return chains after a short warmup in two rounds."""
    walk = Walk(posterior, sampler, chains, method)
    for t in range(_WARMUP):
        walk.adapt(t)
        if (t + 1) % (_WARMUP // 2) == 0:
            walk.pool()
    walk.infos = []
    return walk


def _network() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.5 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


def _draws(sampler: Sampler, *, constant: float = 0.0, parameters: Any = None, **settings: Any) -> Trace:
    given: dict[str, Any] = {"chains": 2, "draws": _STEPS, "warmup": 0, "seed": 3, "progress": False} | settings
    return sample(network(sampler, constant=constant, parameters=parameters), sampler, **given)


def _numbers(trace: Trace) -> Tensor:
    """Return excess, distance and virial of every draw, (3, chains, draws)."""
    names = (("posterior", "excess"), ("posterior", "distance"), ("sample_stats", "virial"))
    return torch.as_tensor(np.stack([trace.get(*name) for name in names]))


def _weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def _held(walk: Walk) -> tuple[Any, ...]:
    bound = walk.bound
    return (walk.tuning, walk.nbeta, bound.center, bound.precision, bound.metric)


def _all_of(model: nn.Module) -> tuple[Tensor, ...]:
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return (*model.state_dict().values(), *grads, torch.get_rng_state())


def _apart(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest value; infinite where anything is not finite."""
    apart = float((a - b).abs().max()) / max(float(b.abs().max()), 1e-300)
    return apart if apart == apart else float("inf")


def _wrong(info: Info, sampler: Sampler, chains: int) -> list[str]:
    """Say what is wrong with an Info."""
    found = []
    for name, values in info._asdict().items():
        if name == "felt" and values is None:
            continue  # as of every sampler before warmup has found directions
        if values.shape != (chains,):
            found.append(f"{name} must have shape ({chains},), got {tuple(values.shape)}")
    if info.excess.dtype != torch.float64:
        found.append(f"excess must be float64, got {info.excess.dtype}")
    if info.diverging.dtype != torch.bool:
        found.append(f"diverging must be Boolean, got {info.diverging.dtype}")
    if not bool(((info.acceptance >= 0) & (info.acceptance <= 1)).all()):
        found.append(f"acceptance must be in [0, 1], got {info.acceptance.tolist()}")
    if not sampler.unadjusted and bool((info.surplus != 0).any()):
        found.append("surplus must be 0 for an exact sampler")
    return found
