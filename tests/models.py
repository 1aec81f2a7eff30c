"""Small models with their data and losses, and a slow obvious evaluation of each: the torch wing is tested on these.

Everything is float64 and seeded. `Case.batch` builds batches without slt.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from slt.problem.evaluate import Evaluation, Evaluator
from slt.problem.parameters import Segment


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def integers(high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def called_each_time() -> None:
    """Called by a loss: keep it from being recorded, as torch sees that Python looks at a value."""
    torch.zeros(()).item()


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Build a module in float64 from a seed, leaving the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().double()


def mlp(*widths: int, seed: int = 0) -> nn.Sequential:
    def build() -> nn.Sequential:
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        return nn.Sequential(*(m for layer in layers for m in (layer, nn.Tanh())))[:-1]

    return seeded(build, seed)


@dataclass
class Case:
    """A model with data and a loss, and the same batches made by hand.

    `loss_for` makes the loss of a copy of the model, which matters only where the loss closes over it.
    """

    model: nn.Module
    data: Any
    n: int
    batch: Callable[[Tensor], Any]
    loss_for: Callable[[nn.Module], Any]
    parameters: Any = None
    vectorizes: bool = True
    plain_loss: Callable[[nn.Module, Any], Tensor] | None = None

    @property
    def loss(self) -> Any:
        return self.loss_for(self.model)

    def plain(
        self, segments: Sequence[Segment], tensors: Sequence[Tensor], rows: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Evaluate one chain the slow way: copies of the model, one batch, plain autograd."""
        center = copy.deepcopy(self.model).eval()
        moved = copy.deepcopy(center)
        named = dict(moved.named_parameters())
        with torch.no_grad():
            for segment, entries in zip(segments, tensors, strict=True):
                p = named[segment.name]
                flat = p.flatten().clone()
                flat[segment.index if segment.index is not None else slice(None)] = entries.to(p.dtype)
                p.copy_(flat.reshape(p.shape))
        inputs = [named[segment.name].requires_grad_() for segment in segments]
        here = self._value(moved, rows)
        grads = torch.autograd.grad(here.mean(), inputs, materialize_grads=True)
        excess = (here - self._value(center, rows)).mean().detach()
        return excess, [s.entries(g) for s, g in zip(segments, grads, strict=True)]

    def _value(self, model: nn.Module, rows: Tensor) -> Tensor:
        loss = self.plain_loss or self.loss_for(model)
        return loss(model, self.batch(rows))


def per_example(model: nn.Module, batch: Any) -> Tensor:
    """Squared error of each example."""
    x, y = batch
    return (model(x) - y).square().flatten(1).sum(1)


def mean_only(model: nn.Module, batch: Any) -> Tensor:
    return per_example(model, batch).mean()


def positions(
    evaluator: Evaluator, segments: Sequence[Segment], chains: int, *, spread: float = 0.1, seed: int = 0
) -> tuple[dict[str, Tensor], list[list[Tensor]]]:
    """Place chains about w*; return the tree and, chain by chain, the moving entries of every tensor."""
    generator = torch.Generator().manual_seed(seed)
    each = []
    for _ in range(chains):
        tensors = []
        for segment in segments:
            center = segment.entries(segment.parameter)
            tensors.append(center + spread * torch.randn(center.shape, generator=generator, dtype=torch.float64))
        each.append(tensors)
    packed = [evaluator.pack(tensors) for tensors in each]
    return {name: torch.cat([p[name] for p in packed]) for name in packed[0]}, each


def by_tensor(evaluator: Evaluator, evaluation: Evaluation) -> list[Tensor]:
    """The gradient as one (chains, entries) tensor a parameter."""
    return evaluator.unpack(evaluation.grad)


# --- the cases -----------------------------------------------------------------------------------------------


def tensors_case(model: nn.Module, tensors: Any, loss: Any, **other: Any) -> Case:
    def batch(rows: Tensor) -> Any:
        if isinstance(tensors, dict):
            return {name: t[rows] for name, t in tensors.items()}
        return tuple(t[rows] for t in tensors)

    n = len(next(iter(tensors.values()))) if isinstance(tensors, dict) else len(tensors[0])
    return Case(model, tensors, n, batch, lambda _: loss, **other)


def mlp_case() -> Case:
    """Cross-entropy by name, beside torch's own."""
    data = drawn(23, 4, seed=1), integers(3, 23, seed=2)

    def plain(model: nn.Module, batch: Any) -> Tensor:
        return -model(batch[0]).log_softmax(1).gather(1, batch[1][:, None])[:, 0]

    return tensors_case(mlp(4, 5, 3), data, "cross_entropy", plain_loss=plain)


def cnn_case() -> Case:
    """A CNN whose BatchNorm layers hold statistics, in training mode as the user left it."""
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4), nn.BatchNorm1d(4)
        )
    )
    model(drawn(16, 1, 6, 6, seed=3) + 0.5)
    return tensors_case(model.train(), (drawn(23, 1, 6, 6, seed=4), drawn(23, 4, seed=5)), per_example)


def channels_last_case() -> Case:
    """Parameters whose memory is not in the order of their indices."""
    case = cnn_case()
    case.model[0] = case.model[0].to(memory_format=torch.channels_last)
    wide = seeded(lambda: nn.Conv2d(3, 3, 3, padding=1)).to(memory_format=torch.channels_last)
    case.model.insert(3, wide)
    assert not wide.weight.is_contiguous()
    return case


def encoder_case() -> Case:
    """torch's own transformer layer, which has an inference kernel of its own."""
    model = seeded(lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    return tensors_case(model, (drawn(23, 5, 8, seed=6), drawn(23, 5, 8, seed=7)), per_example)


class PaddedEncoder(nn.Module):
    """An encoder stack with a padding mask; its inference kernel zeroes what is padded, its training path does not."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, x: Tensor, padded: Tensor) -> Tensor:
        return self.stack(x, src_key_padding_mask=padded)


def padded_encoder_case() -> Case:
    lengths = integers(4, 23, seed=8) + 2
    padded = torch.arange(5) >= lengths[:, None]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return (model(*batch) - 1).square().mean((1, 2))

    return tensors_case(seeded(PaddedEncoder), (drawn(23, 5, 8, seed=9), padded), loss)


class CausalLM(nn.Module):
    """One block of causal attention with learned positions and an output tied to the embedding."""

    def __init__(self, vocabulary: int = 11, width: int = 8, length: int = 7) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(0.1 * torch.randn(length, width))
        self.norm = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.tokens(input_ids) + self.places[: input_ids.shape[1]]
        batch, length, width = x.shape
        q, k, v = (
            part.reshape(batch, length, 2, width // 2).transpose(1, 2)
            for part in self.attend(self.norm(x)).chunk(3, dim=-1)
        )
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        if attention_mask is not None:
            seen = seen & (attention_mask[:, None, None, :] != 0)
            seen = seen | torch.eye(length, dtype=torch.bool)  # a padded query sees itself, or softmax is NaN
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x + self.mix(attended.transpose(1, 2).reshape(batch, length, width)).tanh()
        return self.head(x)


def token_losses(model: nn.Module, batch: Any) -> Tensor:
    """Mean negative log-likelihood of the counted tokens of each sequence, in loops."""
    ids, labels = batch["input_ids"], batch.get("labels", batch["input_ids"])
    mask = batch.get("attention_mask")
    logs = model(**{k: v for k, v in batch.items() if k != "labels"}).log_softmax(-1)
    each = []
    for b in range(len(ids)):
        terms = [
            -logs[b, t - 1, labels[b, t]]
            for t in range(1, ids.shape[1])
            if labels[b, t] != -100 and (mask is None or mask[b, t] != 0)
        ]
        each.append(torch.stack(terms).mean() if terms else logs.sum() * 0)
    return torch.stack(each)


def causal_lm_case() -> Case:
    """Dict batches with padding and labels that are not counted; embedding and output are tied."""
    ids = integers(11, 23, 7, seed=10)
    mask = (torch.arange(7) < integers(5, 23, 1, seed=11) + 3).long()
    labels = torch.where(torch.arange(7) < 2, -100, ids)
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return tensors_case(seeded(CausalLM), batch, "causal_lm", plain_loss=token_losses)


class Tied(nn.Module):
    """An autoencoder that decodes with the transpose of its encoder, and has its bias under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decode.weight = self.encode.weight
        self.decode.bias = self.encode.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x).tanh())


def tied_case() -> Case:
    x = drawn(23, 4, seed=12)
    return tensors_case(seeded(Tied), (x, x), per_example)


def masked_case() -> Case:
    """Some entries of two tensors move, one tensor moves whole, one stays."""
    parameters = {"0.weight": drawn(5, 4, seed=13) > 0, "0.bias": True, "2.bias": torch.tensor([True, False, True])}
    data = drawn(23, 4, seed=14), drawn(23, 3, seed=15)
    return tensors_case(mlp(4, 5, 3), data, per_example, parameters=parameters)


def mean_only_case() -> Case:
    data = drawn(23, 4, seed=16), drawn(23, 3, seed=17)
    return tensors_case(mlp(4, 5, 3), data, mean_only)


def mean_encoder_case() -> Case:
    """The pairing of a mean loss runs the model at w* too."""
    case = encoder_case()
    return tensors_case(case.model, case.data, mean_only)


def closure_case() -> Case:
    """A loss that ignores the model it is given for the one it remembers."""
    data = drawn(23, 4, seed=18), drawn(23, 3, seed=19)
    case = tensors_case(mlp(4, 5, 3), data, None)
    case.loss_for = lambda model: lambda _, batch: per_example(model, batch)
    return case


class Pairs(Dataset):
    """Examples one by one, as a mapping."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"x": self.x[i], "y": self.y[i]}


def collate_case() -> Case:
    """A DataLoader whose collate function does what the loss relies on."""
    x, y = drawn(23, 4, seed=20), drawn(23, 3, seed=21)

    def collate(items: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.stack([i["x"] for i in items]) ** 2, torch.stack([i["y"] for i in items]) - 1

    loader = DataLoader(Pairs(x, y), batch_size=4, shuffle=True, collate_fn=collate)
    return Case(mlp(4, 5, 3), loader, 23, lambda rows: (x[rows] ** 2, y[rows] - 1), lambda _: per_example)


def pad(sequences: list[Tensor]) -> dict[str, Tensor]:
    """Pad with zeros to the longest of the batch."""
    width = max(len(s) for s in sequences)
    ids = torch.stack([functional.pad(s, (0, width - len(s))) for s in sequences])
    mask = torch.stack([(torch.arange(width) < len(s)).long() for s in sequences])
    return {"input_ids": ids, "attention_mask": mask}


class Sequences(Dataset):
    """Token sequences of several lengths."""

    def __init__(self, sequences: list[Tensor]) -> None:
        self.sequences = sequences

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, i: int) -> Tensor:
        return self.sequences[i]


def padded_case() -> Case:
    """Sequences of several lengths that a collate function pads to the longest of each batch."""
    whole = integers(11, 300, 7, seed=22)
    lengths = (2 + torch.arange(300) // 60).tolist()  # a batch of 256 is shorter than the last
    sequences = [ids[:length] for ids, length in zip(whole, lengths, strict=True)]
    loader = DataLoader(Sequences(sequences), batch_size=4, collate_fn=pad)
    return Case(
        seeded(CausalLM),
        loader,
        300,
        lambda rows: pad([sequences[i] for i in rows.tolist()]),
        lambda _: "causal_lm",
        plain_loss=token_losses,
    )


class Sum(nn.Module):
    """Two parameters that meet only as a + b: autograd gives both the same gradient tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.a + self.b)


def shared_gradient_case() -> Case:
    return tensors_case(seeded(Sum), (drawn(23, 4, seed=23), drawn(23, 4, seed=24)), per_example)


class Total(nn.Module):
    """A parameter that enters as its sum: autograd gives it one number, expanded."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a.sum()


def expanded_gradient_case() -> Case:
    return tensors_case(seeded(Total), (drawn(23, 4, seed=25), drawn(23, 4, seed=26)), per_example)


def weight_norm_case() -> Case:
    """Weights that are computed from parameters, by an operation that torch would loop over chains."""
    model = mlp(4, 5, 3)
    nn.utils.parametrizations.weight_norm(model[0])
    data = drawn(23, 4, seed=27), drawn(23, 3, seed=28)
    return tensors_case(model, data, per_example, vectorizes=False)


class LastState(nn.Module):
    """A recurrent network, which torch cannot run under vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.read = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.cells(x)[0][:, -1])


def lstm_case() -> Case:
    data = drawn(23, 5, 4, seed=29), drawn(23, 2, seed=30)
    return tensors_case(seeded(LastState), data, per_example, vectorizes=False)


class TimeFirst(nn.Module):
    """Reads sequences laid out (time, batch, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(x).tanh().sum(0)


def time_first_case() -> Case:
    """A collate function whose batches have time before examples."""
    x, y = drawn(23, 5, 4, seed=31), drawn(23, 5, 2, seed=32)

    def collate(items: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.stack([i["x"] for i in items], 1), torch.stack([i["y"] for i in items], 1)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return (model(batch[0]) - batch[1].sum(0)).square().sum(1)

    loader = DataLoader(Pairs(x, y), batch_size=4, collate_fn=collate)
    return Case(
        seeded(TimeFirst),
        loader,
        23,
        lambda rows: (x[rows].transpose(0, 1), y[rows].transpose(0, 1)),
        lambda _: loss,
        vectorizes=False,
    )


CASES: dict[str, Callable[[], Case]] = {
    "mlp": mlp_case,
    "cnn with batch norm": cnn_case,
    "channels last": channels_last_case,
    "encoder layer": encoder_case,
    "encoder with padding": padded_encoder_case,
    "causal lm": causal_lm_case,
    "tied": tied_case,
    "masked entries": masked_case,
    "mean-only loss": mean_only_case,
    "mean-only encoder": mean_encoder_case,
    "closure": closure_case,
    "collate": collate_case,
    "padded sequences": padded_case,
    "shared gradient": shared_gradient_case,
    "expanded gradient": expanded_gradient_case,
    "weight norm": weight_norm_case,
    "lstm": lstm_case,
    "time first": time_first_case,
}
