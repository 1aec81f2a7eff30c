"""Random numbers: the same for a chain however chains and leaves are grouped, and distributed as they should be.

A z of 4 on N numbers finds a mean off by 4 / sqrt(N), a variance off by 4 sqrt(2 / N) of itself, a correlation of
4 / sqrt(N); each test says what that comes to.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from slt._noise import Random, mix

CPU = torch.device("cpu")


def random_of(
    chains: list[int],
    leaves: dict[str, list[int]],
    *,
    seed: int = 0,
    n: int = 100,
    batch_size: int | None = 8,
    uniforms: int = 2,
    dtype: torch.dtype = torch.float32,
) -> Random:
    return Random(seed, chains, leaves, n=n, batch_size=batch_size, uniforms=uniforms, device=CPU, dtype=dtype)


SIZES = {
    "one": [1],
    "below 16": [5, 3],
    "across 16": [13, 40, 2, 16],
    "blocks of a few steps": [2**15, 7],
    "one step a block": [2**17, 3, 17, 10],
}
STEPS = {"one": (0, 255, 256, 700), "below 16": (0, 255, 256, 700), "across 16": (0, 255, 256, 700)}


def steps_of(kind: str) -> tuple[int, ...]:
    """Steps within a block, at its border and beyond."""
    return STEPS.get(kind, (0, 3, 4, 9))


# --- the same numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", SIZES)
def test_a_chain_sees_the_same_normal_numbers_alone_or_among_many(kind: str, dtype: torch.dtype):
    leaves = {"w": SIZES[kind]}
    alone, many = random_of([5], leaves, dtype=dtype), random_of([2, 5, 9], leaves, dtype=dtype)
    for step in steps_of(kind):
        assert torch.equal(alone.normal(step, "w")[0], many.normal(step, "w")[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", SIZES)
def test_split_and_concatenated_leaves_see_the_same_normal_numbers(kind: str, dtype: torch.dtype):
    sizes = SIZES[kind]
    whole = random_of([3, 4], {"w": sizes}, dtype=dtype)
    split = random_of([3, 4], {f"p{i}": [size] for i, size in enumerate(sizes)}, dtype=dtype)
    for step in steps_of(kind):
        pieces = torch.cat([split.normal(step, f"p{i}") for i in range(len(sizes))], dim=1)
        assert torch.equal(whole.normal(step, "w"), pieces)


@pytest.mark.parametrize("kind", SIZES)
def test_borrowed_memory_changes_no_number(kind: str):
    leaves = {"w": SIZES[kind]}
    plain, lent = random_of([3, 4], leaves), random_of([3, 4], leaves)
    out = torch.full((2, sum(SIZES[kind])), torch.nan)
    for step in steps_of(kind):
        numbers = lent.normal(step, "w", out=out)
        assert torch.equal(plain.normal(step, "w"), numbers)
        assert (numbers.data_ptr() == out.data_ptr()) is (kind == "one step a block")


@pytest.mark.parametrize("unfit", [torch.empty(2, 2**18, dtype=torch.float64), torch.empty(2**18, 2).T])
def test_memory_that_does_not_fit_is_not_used(unfit: Tensor):
    random = random_of([3, 4], {"w": [2**18]})
    numbers = random.normal(1, "w", out=unfit)
    assert numbers.data_ptr() != unfit.data_ptr()
    assert torch.equal(numbers, random_of([3, 4], {"w": [2**18]}).normal(1, "w"))


def test_rows_and_uniforms_are_the_same_alone_or_among_many():
    alone, many = random_of([5], {"w": [3]}), random_of([2, 5, 9], {"w": [3]})
    for step in (0, 1, 255, 256, 1000):
        rows, among = alone.rows(step), many.rows(step)
        assert rows is not None
        assert among is not None
        assert torch.equal(rows[0], among[1])
        assert torch.equal(alone.uniform(step)[0], many.uniform(step)[1])
        assert alone.common(step) == many.common(step)


def test_steps_may_be_asked_for_in_any_order():
    forward, back = random_of([0, 1], {"w": [4]}), random_of([0, 1], {"w": [4]})
    steps = [0, 1, 255, 256, 600]
    there = {s: (forward.normal(s, "w").clone(), forward.uniform(s).clone(), forward.common(s)) for s in steps}
    for s in reversed(steps):
        assert torch.equal(back.normal(s, "w"), there[s][0])
        assert torch.equal(back.uniform(s), there[s][1])
        assert back.common(s) == there[s][2]


def test_the_global_random_state_plays_no_part():
    first = random_of([0], {"w": [4]}).normal(0, "w")
    before = torch.get_rng_state()
    torch.manual_seed(99)
    assert torch.equal(random_of([0], {"w": [4]}).normal(0, "w"), first)
    torch.set_rng_state(before)
    random_of([0], {"w": [4]}).rows(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_full_data_has_no_rows():
    assert random_of([0], {"w": [4]}, batch_size=None).rows(0) is None


def test_shapes_and_types():
    random = random_of([0, 1, 2], {"a": [4], "b": [2, 3]}, batch_size=7, uniforms=2)
    rows = random.rows(0)
    assert rows is not None
    assert (rows.shape, rows.dtype) == ((3, 7), torch.int64)
    assert (random.uniform(0).shape, random.uniform(0).dtype) == ((3, 2), torch.float64)
    assert random.normal(0, "b").shape == (3, 5)
    assert random.normal(0, "a").dtype == torch.float32


# --- different numbers ---------------------------------------------------------------------------------------


def test_everything_that_should_tell_numbers_apart_does():
    """Seed (high and low words, signs), chain, step, block and leaf; a repeated number would be a repeated stream."""
    drawn = []
    for seed in (0, 1, -1, 2**32, 2**33, 2**63):
        random = random_of([0, 1, 2**33], {"a": [40, 40], "b": [40]}, seed=seed)
        for step, leaf in itertools.product((0, 1, 255, 256, 2**20), ("a", "b")):
            drawn += random.normal(step, leaf).split(40, dim=1)
    numbers = torch.cat(drawn)
    assert len(numbers) == 6 * 3 * 5 * 3
    assert len(torch.unique(numbers, dim=0)) == len(numbers)


@pytest.mark.parametrize("kind", ["rows", "uniform"])
def test_rows_and_uniforms_differ_between_seeds_chains_and_blocks(kind: str):
    drawn = []
    for seed in (0, 1, 2**32):
        random = random_of([0, 1], {"w": [1]}, seed=seed, n=10**9, uniforms=8)
        drawn += [getattr(random, kind)(step).double() for step in (0, 1, 256)]
    numbers = torch.cat(drawn)
    assert len(torch.unique(numbers, dim=0)) == len(numbers) == 18


def test_mixed_words_keep_their_low_bits_apart():
    """A generator keeps 32 bits of a seed: 400,000 neighbours must collide there as chance has it.

    So many draws from 2^32 give 18.6 colliding pairs, with a standard deviation of 4.3.
    """
    words = itertools.product(range(10), range(100), range(4), range(100))
    low = np.array([mix(*word) & 0xFFFFFFFF for word in words], dtype=np.uint64)
    pairs = len(low) - len(np.unique(low))
    assert abs(pairs - 18.6) < 4 * 4.3


def test_mix_tells_words_apart_by_place_and_number():
    assert len({mix(), mix(0), mix(0, 0), mix(0, 1), mix(1, 0), mix(1), mix(2**64 - 1), mix(1, 0, 0)}) == 8


# --- the right distribution ----------------------------------------------------------------------------------


def z_of_mean(x: Tensor) -> float:
    return float(x.mean() * math.sqrt(x.numel()))


def z_of_variance(x: Tensor) -> float:
    return float((x.square().mean() - 1) * math.sqrt(x.numel() / 2))


def z_of_correlation(x: Tensor, y: Tensor) -> float:
    return float((x * y).mean() * math.sqrt(x.numel()))


def normals(kind: str, *, seed: int = 0) -> Tensor:
    """At least 2.5e5 numbers, (chains, steps, entries)."""
    sizes = SIZES[kind]
    chains = 4
    steps = max(2, 2**18 // (chains * sum(sizes)) + 1)
    random = random_of(list(range(chains)), {"w": sizes}, seed=seed)
    return torch.stack([random.normal(t, "w").clone() for t in range(steps)], dim=1).double()


@pytest.mark.parametrize("kind", SIZES)
def test_normal_numbers_have_mean_0_variance_1_and_no_memory(kind: str):
    """Finds a mean off by 0.008, a variance off by 1.1 %, a correlation of 0.009 to 0.016."""
    x = normals(kind)
    assert x.numel() >= 2**18
    assert abs(z_of_mean(x)) < 4
    assert abs(z_of_variance(x)) < 4
    for k, j in itertools.combinations(range(4), 2):
        assert abs(z_of_correlation(x[k], x[j])) < 4.5, "chains"
    assert abs(z_of_correlation(x[:, 1:], x[:, :-1])) < 4, "steps"
    if x.shape[2] > 1:
        assert abs(z_of_correlation(x[..., 1:], x[..., :-1])) < 4, "entries"


@pytest.mark.parametrize(("scale", "shift", "holds"), [(1.0, 0.0, True), (1.01, 0.0, False), (1.0, 0.012, False)])
def test_normal_numbers_and_their_mutants(scale: float, shift: float, holds: bool):
    x = scale * normals("across 16") + shift
    assert (abs(z_of_mean(x)) < 4 and abs(z_of_variance(x)) < 4) == holds


@pytest.mark.parametrize("kind", ["one", "below 16", "one step a block"])
def test_normal_numbers_are_normal(kind: str):
    """Kolmogorov and Smirnov at 1 in 10,000; finds a distance of 0.0044 between distribution functions."""
    x = normals(kind).flatten()[: 2**18].numpy()
    assert stats.kstest(x, "norm").pvalue > 1e-4
    assert stats.kstest(1.02 * x, "norm").pvalue < 1e-4  # the mutant: 0.0048 away


def test_leaves_are_independent_of_each_other():
    """Two leaves of one size, 1e5 numbers each; finds a correlation of 0.013."""
    random = random_of([0, 1], {"a": [100], "b": [100]})
    a, b = (torch.stack([random.normal(t, name).clone() for t in range(500)]).double() for name in "ab")
    assert abs(z_of_correlation(a, b)) < 4


def test_seeds_are_independent_of_each_other():
    """Neighbouring seeds; finds a correlation of 0.008."""
    assert abs(z_of_correlation(normals("below 16", seed=1), normals("below 16", seed=2))) < 4


def rows_drawn(n: int) -> Tensor:
    """Half a million rows, (chains, steps, batch)."""
    random = random_of([0, 1, 2, 3], {"w": [1]}, n=n, batch_size=128)
    return torch.stack([random.rows(t) for t in range(1000)], dim=1)  # type: ignore[arg-type]


def chi_square(rows: Tensor, n: int) -> float:
    counts = torch.bincount(rows.flatten(), minlength=n).double()
    expected = rows.numel() / n
    return float(((counts - expected).square() / expected).sum())


@pytest.mark.parametrize("mutant", [False, True])
def test_rows_are_uniform_over_the_examples(mutant: bool):
    """512,000 rows of 40, chi-square at 1 in 10,000: limit 81.

    One row drawn 10 % too often adds 512,000 / 40 * 0.1^2 = 128 to a mean of 39: it is caught with certainty.
    """
    rows = rows_drawn(40)
    if mutant:
        rows.view(-1)[::400] = 7
    limit = float(stats.chi2.ppf(1 - 1e-4, 39))
    assert (chi_square(rows, 40) < limit) is not mutant
    assert (int(rows.min()), int(rows.max())) == (0, 39)


def test_rows_are_drawn_with_replacement_and_independently():
    """Equal rows occur 1 time in 40 within a batch, between chains, and between steps; finds 3 % more of them."""
    rows = rows_drawn(40)
    p = 1 / 40
    for equal in (
        rows[..., 1:] == rows[..., :-1],
        rows[1:] == rows[:-1],
        rows[:, 1:] == rows[:, :-1],
    ):
        z = (equal.double().mean() - p) / math.sqrt(p * (1 - p) / equal.numel())
        assert abs(float(z)) < 4


def test_uniform_numbers_are_uniform_and_chains_independent():
    """10,000 numbers a chain; finds a distance of 0.022 between distribution functions, a correlation of 0.04."""
    random = random_of([0, 1], {"w": [1]}, uniforms=2)
    u = torch.stack([random.uniform(t) for t in range(5000)], dim=1)
    for k in range(2):
        assert stats.kstest(u[k].flatten().numpy(), "uniform").pvalue > 1e-4
    centered = (u - 0.5) * math.sqrt(12)
    assert abs(z_of_correlation(centered[0], centered[1])) < 4
    assert abs(z_of_correlation(centered[..., 0], centered[..., 1])) < 4


def test_the_common_number_is_uniform_and_unlike_a_chain_s():
    """5,000 numbers; finds a distance of 0.03 between distribution functions, a correlation of 0.057."""
    random = random_of([0], {"w": [1]}, uniforms=1)
    common = torch.tensor([random.common(t) for t in range(5000)], dtype=torch.float64)
    own = torch.stack([random.uniform(t)[0, 0] for t in range(5000)])
    assert stats.kstest(common.numpy(), "uniform").pvalue > 1e-4
    assert abs(z_of_correlation((common - 0.5) * math.sqrt(12), (own - 0.5) * math.sqrt(12))) < 4
