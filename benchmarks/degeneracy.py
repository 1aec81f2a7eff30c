"""What an explanation costs: products with the Hessian in gradients, and `slt.explain` by size of the model.

    python benchmarks/degeneracy.py [products | small | medium | large ...]

Without names all parts run: some ten minutes. Everything is in float64, as in the package. A gradient is the plain one
of torch: the model in double, the loss over all the data, one backward pass. Times are medians over alternating
repeats, so that what else the machine does falls on both; read the ratios.
"""

import copy
import itertools
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import slt
from slt.degeneracy.function import exact
from slt.degeneracy.hessian import Curvature
from slt.problem import Problem

REPEATS = 7


class Block(nn.Module):
    """Attention and a feed-forward layer, each after a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """One block of the residual stream."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """A language model with learned positions."""

    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token at every position."""
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def mlp(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16), torch.tensor(labels)


def text(vocabulary: int, context: int, n: int) -> Tensor:
    """Sequences in which each token mostly follows from the one before; a tenth of the vocabulary never comes."""
    generator = torch.Generator().manual_seed(0)
    used = vocabulary * 9 // 10
    follows = torch.randperm(used, generator=generator)
    ids = torch.randint(used, (n, context), generator=generator)
    for t in range(1, context):
        keep = torch.rand(n, generator=generator) < 0.8
        ids[keep, t] = follows[ids[keep, t - 1]]
    return ids


def trained(model: nn.Module, data: Any, loss: Callable[[nn.Module, Any], Tensor], steps: int) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, data).backward()
        optimizer.step()
    return model


def classes(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def next_token(model: nn.Module, ids: Tensor) -> Tensor:
    return functional.cross_entropy(model(ids)[:, :-1].transpose(1, 2), ids[:, 1:])


def million() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Transformer(512, 64, 128, 4, 4), text(512, 64, 32)


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ratios(name: str, model: nn.Module, data: Any, loss: str, plain: Callable[[nn.Module, Any], Tensor]) -> None:
    """Products against plain gradients, in turns."""
    problem = Problem(model, data, loss)
    double = copy.deepcopy(model).double()
    weights = list(double.parameters())
    with exact(model):
        curvature = Curvature(problem)
        v = torch.randn(curvature.dimension, dtype=torch.float64)
    taken: dict[str, list[float]] = {"gradient": [], "Hessian": [], "Gauss-Newton": []}
    for repeat in range(REPEATS + 1):
        once = {"gradient": seconds(lambda: torch.autograd.grad(plain(double, data), weights))}
        with exact(model):
            once["Hessian"] = seconds(lambda: curvature.hessian_product(v))
            once["Gauss-Newton"] = seconds(lambda: curvature.ggn_product(v))
        for key, value in once.items():
            taken[key] += [value] if repeat else []  # the first warms up
    middle = {key: statistics.median(values) for key, values in taken.items()}
    base = middle["gradient"]
    hessian, gauss_newton = middle["Hessian"] / base, middle["Gauss-Newton"] / base
    print(
        f"{name:28} P {curvature.dimension:9,}  gradient {1e3 * base:7.1f} ms, Hessian product {hessian:.2f} gradients "
        f"(at most 4), Gauss-Newton {gauss_newton:.2f} (at most 3)"
    )


def products() -> None:
    x, y = digits()
    model, ids = million()
    ratios("transformer, 4 layers of 128", model, ids, "causal_lm", next_token)
    torch.manual_seed(0)
    ratios("MLP 64-256-256-10 on digits", mlp(64, 256, 256, 10).double(), (x, y), "cross_entropy", classes)
    ratios("MLP 64-100-32-10 on digits", mlp(64, 100, 32, 10).double(), (x, y), "cross_entropy", classes)


def explained(name: str, model: nn.Module, data: Any, loss: str, limit: str) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    found = slt.explain(model, data, loss)
    taken, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: explain() of {found.dimension:,} entries took {taken:.0f} s (at most {limit})")
    print(f"    {cpu:.0f} s of CPU over all threads, peak memory {peak:.2f} GiB")
    print("\n".join("    " + line for line in str(found).splitlines()[:14]))


def small() -> None:
    torch.manual_seed(0)
    model = trained(mlp(64, 40, 10).double(), digits(), classes, 300)
    explained("MLP 64-40-10 on digits", model, digits(), "cross_entropy", "60 s")


def medium() -> None:
    torch.manual_seed(0)
    model = trained(mlp(64, 100, 32, 10).double(), digits(), classes, 300)
    explained("MLP 64-100-32-10 on digits", model, digits(), "cross_entropy", "600 s")


def large() -> None:
    model, ids = million()
    explained("transformer, 4 layers of 128", trained(model, ids, next_token, 30), ids, "causal_lm", "600 s")


PARTS = {"products": products, "small": small, "medium": medium, "large": large}


def main() -> None:
    chosen = sys.argv[1:] or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise SystemExit(f"no part is called {unknown[0]}: there are {', '.join(PARTS)}.")
    print(
        f"{date.today()}, {platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads, float64"
    )
    for name in chosen:
        PARTS[name]()


if __name__ == "__main__":
    main()
