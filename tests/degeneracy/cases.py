"""The models of `oracles.json`, and others of their kinds: built in float64 from seeds, each with its inputs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.degeneracy.transformers_small import Config, generic, sequences

ORACLES: dict[str, dict[str, Any]] = {
    entry["id"]: entry for entry in json.loads((Path(__file__).parent / "oracles.json").read_text())
}


@dataclass
class Case:
    model: nn.Module
    inputs: Tensor
    function: str = "logits"

    @property
    def dimension(self) -> int:
        return sum(p.numel() for p in self.model.parameters())


def normal(*shape: int, seed: int = 1, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def box(*shape: int, seed: int = 1) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def drawn(model: nn.Module, seed: int = 0, scale: float = 1.0) -> Any:
    """The model with every weight N(0, scale^2), in float64."""
    model, generator = model.double(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model


def mlp(*widths: int, act: type[nn.Module] = nn.Tanh, bias: bool = True, seed: int = 0, scale: float = 1.0) -> Any:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b, bias=bias), act()]
    return drawn(nn.Sequential(*layers[:-1]), seed, scale)


def linear(*widths: int, seed: int = 0) -> Any:
    return drawn(nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(widths))), seed)


def changed(model: Any, *edits: Callable[[Any], None]) -> Any:
    with torch.no_grad():
        for edit in edits:
            edit(model)
    return model


def incoming(unit: int, weight: Any, bias: Any) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        model[0].weight[unit] = torch.as_tensor(weight, dtype=torch.float64)
        model[0].bias[unit] = bias

    return edit


def outgoing(unit: int, weight: Any) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        model[-1].weight[:, unit] = torch.as_tensor(weight, dtype=torch.float64)

    return edit


def like(unit: int, other: int, sign: float = 1.0) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        model[0].weight[unit] = sign * model[0].weight[other]
        model[0].bias[unit] = sign * model[0].bias[other]

    return edit


class TiedAutoencoder(nn.Module):
    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w.T @ self.w


class Gated(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int, act: nn.Module) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(inputs, hidden, bias=False), nn.Linear(inputs, hidden, bias=False)
        self.down, self.act = nn.Linear(hidden, outputs, bias=False), act

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.gate(x)) * self.up(x))


class Recurrent(nn.Module):
    """x <- act(A x + B u), y = C x."""

    def __init__(self, n: int, m: int, o: int, act: Callable[[Tensor], Tensor], bias: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(n, n)), nn.Parameter(torch.zeros(n, m))
        self.c, self.act = nn.Parameter(torch.zeros(o, n)), act
        self.h, self.d = (nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(o))) if bias else (None, None)

    def forward(self, u: Tensor) -> Tensor:
        x, outputs = u.new_zeros(len(u), self.a.shape[0]), []
        for t in range(u.shape[1]):
            x = x @ self.a.T + u[:, t] @ self.b.T
            x = self.act(x if self.h is None else x + self.h)
            y = x @ self.c.T
            outputs.append(y if self.d is None else y + self.d)
        return torch.stack(outputs, 1)


class HeadsOnly(nn.Module):
    """Multi-head attention whose heads are narrower than d_model / heads."""

    def __init__(self, width: int, heads: int, d_head: int, bias: bool) -> None:
        super().__init__()
        self.heads, self.d_head = heads, d_head
        self.q, self.k, self.v = (nn.Linear(width, heads * d_head, bias=bias) for _ in range(3))
        self.o = nn.Linear(heads * d_head, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.heads, self.d_head)).transpose(1, 2) for f in (self.q, self.k, self.v))
        share = (q @ k.transpose(-1, -2) / self.d_head**0.5).softmax(-1)
        return self.o((share @ v).transpose(1, 2).flatten(2))


def _relu_line() -> Any:
    return changed(
        mlp(1, 5, 1, act=nn.ReLU, bias=False),
        lambda m: m[0].weight.copy_(torch.tensor([[1.3], [0.4], [2.0], [-0.7], [-1.1]])),
    )


def generic_relu(*widths: int, draws: int = 20) -> Any:
    """Of many draws of a deep ReLU network, the one of greatest rank: about half have random nulls more."""
    from slt.degeneracy import functional_dimension

    inputs = normal(6 * 60, widths[0], scale=2.0)
    nets = [mlp(*widths, act=nn.ReLU, seed=seed) for seed in range(draws)]
    return max(nets, key=lambda net: functional_dimension(net, inputs).rank)


def rank_deficient() -> Any:
    """5-3-4 linear with hidden unit 1 zero on both sides."""
    return changed(linear(5, 3, 4), lambda m: m[0].weight[1].zero_(), lambda m: m[1].weight[:, 1].zero_())


def _layer_norm_linear() -> Any:
    return drawn(nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3)))


def _tanh(o: int, *edits: Callable[[Any], None]) -> Any:
    return changed(mlp(2, 3, o, scale=0.8), *edits)


SMALL: dict[str, Callable[[], Case]] = {
    "relu1_nobias": lambda: Case(mlp(3, 4, 2, act=nn.ReLU, bias=False), normal(80, 3, scale=2)),
    "relu1_bias": lambda: Case(mlp(3, 4, 2, act=nn.ReLU), normal(104, 3, scale=2)),
    "relu1_d1_nobias": lambda: Case(_relu_line(), normal(40, 1, scale=2)),
    "relu1_opposite_pair": lambda: Case(changed(mlp(2, 3, 1, act=nn.ReLU), like(1, 0, -1.0)), normal(104, 2, scale=2)),
    "relu1_dead_on_data": lambda: Case(
        changed(mlp(2, 4, 1, act=nn.ReLU, seed=2), lambda m: m[0].bias[0].fill_(-10)), box(240, 2)
    ),
    "relu1_two_always_on": lambda: Case(
        changed(mlp(2, 4, 1, act=nn.ReLU, seed=2), lambda m: m[0].bias[:2].fill_(10)), box(320, 2)
    ),
    "act_tanh": lambda: Case(mlp(2, 3, 2, scale=0.8), normal(68, 2)),
    "act_sigm": lambda: Case(mlp(2, 3, 2, act=nn.Sigmoid, scale=0.8), normal(68, 2)),
    "act_gelu": lambda: Case(mlp(2, 3, 2, act=nn.GELU, scale=0.8), normal(68, 2)),
    "act_softplus": lambda: Case(mlp(2, 3, 2, act=nn.Softplus, scale=0.8), normal(68, 2)),
    "act_leaky": lambda: Case(mlp(2, 3, 2, act=nn.LeakyReLU, scale=0.8), normal(68, 2)),
    "tanh_zero_out": lambda: Case(_tanh(1, outgoing(0, [0.0])), normal(52, 2)),
    "tanh_zero_in": lambda: Case(_tanh(1, lambda m: m[0].weight[0].zero_()), normal(52, 2)),
    "tanh_zero_in_out": lambda: Case(_tanh(1, lambda m: m[0].weight[0].zero_(), outgoing(0, [0.0])), normal(52, 2)),
    "tanh_dup_o1": lambda: Case(_tanh(1, like(1, 0)), normal(52, 2)),
    "tanh_dup_o2": lambda: Case(_tanh(2, like(1, 0)), normal(68, 2)),
    "lin_5_2_4": lambda: Case(linear(5, 2, 4), normal(108, 5)),
    "lin_2_5_3": lambda: Case(linear(2, 5, 3), normal(150, 2)),
    "lin_5_3_3_4": lambda: Case(linear(5, 3, 3, 4), normal(216, 5)),
    "lin_5_3_4_rankdef": lambda: Case(rank_deficient(), normal(162, 5)),
    "lin_3layer_zero": lambda: Case(
        changed(linear(2, 2, 2, 2), lambda m: [p.zero_() for p in m.parameters()]), normal(72, 2)
    ),
    "tied_linear_AE": lambda: Case(drawn(TiedAutoencoder(3, 5)), normal(80, 5)),
    "bilinear_mlp_saturated": lambda: Case(drawn(Gated(4, 3, 2, nn.Identity())), normal(200, 4)),
    "swiglu": lambda: Case(drawn(Gated(4, 3, 2, nn.SiLU())), normal(200, 4)),
    "relu_deep_4_5_4_2": lambda: Case(generic_relu(4, 5, 4, 2), normal(360, 4, scale=2)),
    "linear_ssm": lambda: Case(drawn(Recurrent(3, 2, 2, lambda x: x, False), scale=0.5), normal(40, 8, 2)),
    "tanh_rnn": lambda: Case(drawn(Recurrent(3, 2, 2, torch.tanh, True), scale=0.5), normal(40, 8, 2)),
    "ln_linear": lambda: Case(_layer_norm_linear(), normal(100, 5)),
    "softmax_head": lambda: Case(drawn(nn.Linear(3, 4)), normal(60, 3), "log_probs"),
    "mha_nobias": lambda: Case(drawn(HeadsOnly(6, 2, 2, False), scale=0.7), normal(20, 5, 6)),
    "mha_bias": lambda: Case(drawn(HeadsOnly(6, 2, 2, True), scale=0.7), normal(20, 5, 6)),
}


def transformer_case(entry: dict[str, Any]) -> Case:
    style = next(s for s in ("gpt2", "neox", "llama") if s in entry["id"])
    config = Config(**entry["config"], style=style)
    model = generic(config)
    ids = sequences(config, entry["P"])
    return Case(model, ids, "log_probs" if config.function == "logprobs" else "logits")


CASES: dict[str, Callable[[], Case]] = {
    **SMALL,
    **{name: partial(transformer_case, entry) for name, entry in ORACLES.items() if "config" in entry},
}
