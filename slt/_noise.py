"""Random numbers as pure functions of (seed, chain, step): nothing to save, and the same for any grouping of chains."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_BLOCK_STEPS = 256  # steps drawn at once: seeding a generator for each step would cost more than the step
_BLOCK_NUMBERS = 2**17  # most entries per block and chain, which limits memory to half a megabyte per chain
_NORMAL, _UNIFORM, _ROWS, _COMMON = range(4)
_MASK = 2**64 - 1


def mix(*words: int) -> int:
    """Hash integers to 64 well mixed bits (SplitMix64 steps)."""
    # CPU generators keep only the lowest 32 bits of a seed, so neighbours must not differ in high bits alone.
    state = 0x9E3779B97F4A7C15
    for word in words:
        state = (state ^ (word & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = ((state ^ (state >> 30)) + 0x9E3779B97F4A7C15) & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


class Random:
    """The random numbers of a group of chains.

    Blocks of steps are drawn together, and the current block of each kind is kept. Its length depends only on the
    dimension, so that a chain gets the same numbers alone or among a thousand.

    Args:
        seed: The run's seed.
        chains: Indices, within the run, of the chains in this group.
        leaves: For each leaf the sizes of its parameter tensors, in the model's order.
        n: Number of examples.
        batch_size: Rows of a minibatch; None means every step uses all the data.
        uniforms: Number of uniform numbers per step and chain.
        device: Device on which normal numbers are drawn.
        dtype: Their type, float32 or float64.
    """

    def __init__(
        self,
        seed: int,
        chains: Sequence[int],
        leaves: Mapping[str, Sequence[int]],
        *,
        n: int,
        batch_size: int | None,
        uniforms: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Store the settings; nothing is drawn yet."""
        self._seed, self._chains, self._leaves = seed, tuple(chains), dict(leaves)
        self._n, self._batch_size, self._uniforms = n, batch_size, uniforms
        self._device, self._dtype = device, dtype
        dimension = sum(sum(sizes) for sizes in leaves.values())
        self._normal_steps = max(1, min(_BLOCK_STEPS, _BLOCK_NUMBERS // max(dimension, 1)))
        self._row_steps = max(1, min(_BLOCK_STEPS, _BLOCK_NUMBERS // (batch_size or 1)))
        self._first_segment: dict[str, int] = {}
        position = 0
        for name, sizes in leaves.items():
            self._first_segment[name] = position
            position += len(sizes)
        self._blocks: dict[tuple[int, str], tuple[int, Tensor]] = {}
        self._beside: dict[int, Random] = {}

    def beside(self, word: int, uniforms: int) -> "Random":
        """Return other numbers of the same chains, independent of these: for what moves them besides.

        Args:
            word: Tells them from further ones.
            uniforms: Uniform numbers that a step needs for each chain.

        Returns:
            The numbers, the same at each call.
        """
        if word not in self._beside:
            self._beside[word] = Random(
                mix(self._seed, word),
                self._chains,
                self._leaves,
                n=self._n,
                batch_size=self._batch_size,
                uniforms=uniforms,
                device=self._device,
                dtype=self._dtype,
            )
        return self._beside[word]

    def normal(self, step: int, name: str, out: Tensor | None = None) -> Tensor:
        """Return standard normal numbers for one leaf, (chains, entries).

        If a block has a single step, the memory of `out` is used, so that a large model needs no buffer.
        """
        block, offset = divmod(step, self._normal_steps)
        if self._normal_steps == 1:
            sizes = self._leaves[name]
            if out is None or out.dtype != self._dtype or not out.is_contiguous():
                out = torch.empty(len(self._chains), sum(sizes), dtype=self._dtype, device=self._device)
            self._fill_normal(out.unsqueeze(1), name, block)
            return out
        return self._block(_NORMAL, name, block)[:, offset]

    def uniform(self, step: int) -> Tensor:
        """Return uniform numbers in [0, 1), (chains, uniforms), float64, on the CPU."""
        block, offset = divmod(step, _BLOCK_STEPS)
        return self._block(_UNIFORM, "", block)[:, offset]

    def rows(self, step: int) -> Tensor | None:
        """Return row numbers drawn with replacement, (chains, batch), or None for all data."""
        if self._batch_size is None:
            return None
        block, offset = divmod(step, self._row_steps)
        return self._block(_ROWS, "", block)[:, offset]

    def common(self, step: int) -> float:
        """Return one uniform number that all chains of the run share."""
        block, offset = divmod(step, _BLOCK_STEPS)
        return float(self._block(_COMMON, "", block)[0, offset])

    def _block(self, kind: int, name: str, block: int) -> Tensor:
        held = self._blocks.get((kind, name))
        if held is None or held[0] != block:
            held = (block, self._draw(kind, name, block))
            self._blocks[kind, name] = held
        return held[1]

    def _draw(self, kind: int, name: str, block: int) -> Tensor:
        if kind == _NORMAL:
            shape = (len(self._chains), self._normal_steps, sum(self._leaves[name]))
            numbers = torch.empty(shape, dtype=self._dtype, device=self._device)
            self._fill_normal(numbers, name, block)
            return numbers
        if kind == _COMMON:
            generator = torch.Generator().manual_seed(mix(self._seed, kind, block))
            return torch.rand(1, _BLOCK_STEPS, dtype=torch.float64, device="cpu", generator=generator)
        each = []
        for chain in self._chains:
            generator = torch.Generator().manual_seed(mix(self._seed, kind, block, chain))
            if kind == _UNIFORM:
                shape = (_BLOCK_STEPS, self._uniforms)
                each.append(torch.rand(shape, dtype=torch.float64, device="cpu", generator=generator))
            else:
                shape = (self._row_steps, self._batch_size or 0)
                each.append(torch.randint(self._n, shape, device="cpu", generator=generator))
        return torch.stack(each)

    def _fill_normal(self, numbers: Tensor, name: str, block: int) -> None:
        # One generator per parameter tensor: a leaf with one tensor and a leaf with all of them then get the same
        # numbers.
        generator = torch.Generator(self._device)
        for k, chain in enumerate(self._chains):
            start = 0
            for i, size in enumerate(self._leaves[name]):
                segment = self._first_segment[name] + i
                generator.manual_seed(mix(self._seed, _NORMAL, block, chain, segment))
                piece = numbers[k, :, start : start + size]
                if piece.is_contiguous():
                    piece.normal_(generator=generator)
                else:
                    # normal_ fills a strided view in a different order from a contiguous one
                    shape = (piece.shape[0], size)
                    piece.copy_(torch.empty(shape, dtype=piece.dtype, device=piece.device).normal_(generator=generator))
                start += size
