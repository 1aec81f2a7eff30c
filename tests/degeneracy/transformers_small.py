"""Tiny transformers of every common style, configured as the oracles name them; generic weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    vocab: int = 11
    context: int = 5
    d_model: int = 6
    layers: int = 1
    heads: int = 2
    d_head: int = 4
    kv_heads: int = 2
    d_ff: int = 5
    tied_embeddings: bool = False
    function: str = "logits"
    qk_norm: bool = False
    mlp_act: str = "swiglu"
    norm_eps: float = 0.0
    rotary_dims: int | None = None
    sandwich_norm: bool = False
    dense_experts: int = 0
    style: str = "llama"


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.gain, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)


class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.gain, self.bias, self.eps = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        return self.gain * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) + self.bias


def rotated(x: Tensor, dims: int) -> Tensor:
    """Rotary positions with base 100, first half paired with second; x is (..., time, d_head)."""
    half = dims // 2
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * 100.0 ** (-torch.arange(half, dtype=x.dtype) / half)
    a, b, rest = x[..., :half], x[..., half:dims], x[..., dims:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin(), rest], -1)


class Attention(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c, bias = c, c.style != "llama"
        self.q = nn.Linear(c.d_model, c.heads * c.d_head, bias=bias)
        self.k = nn.Linear(c.d_model, c.kv_heads * c.d_head, bias=bias)
        self.v = nn.Linear(c.d_model, c.kv_heads * c.d_head, bias=bias)
        self.o = nn.Linear(c.heads * c.d_head, c.d_model, bias=bias)
        self.rotary = 0 if c.style == "gpt2" else c.rotary_dims or c.d_head
        self.norms = nn.ModuleList(RMSNorm(c.d_head, c.norm_eps) for _ in range(2)) if c.qk_norm else None

    def forward(self, x: Tensor) -> Tensor:
        c = self.c
        q, k, v = (
            f(x).unflatten(-1, (n, c.d_head)).transpose(1, 2)
            for f, n in ((self.q, c.heads), (self.k, c.kv_heads), (self.v, c.kv_heads))
        )
        if self.norms is not None:
            q, k = self.norms[0](q), self.norms[1](k)
        if self.rotary:
            q, k = rotated(q, self.rotary), rotated(k, self.rotary)
        k, v = (t.repeat_interleave(c.heads // c.kv_heads, 1) for t in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.act, bias = c.mlp_act, c.style != "llama"
        self.up, self.down = nn.Linear(c.d_model, c.d_ff, bias=bias), nn.Linear(c.d_ff, c.d_model, bias=bias)
        if c.mlp_act == "swiglu":
            self.gate = nn.Linear(c.d_model, c.d_ff, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.act == "swiglu":
            return self.down(functional.silu(self.gate(x)) * self.up(x))
        return self.down(functional.gelu(self.up(x)) if self.act == "gelu" else self.up(x).relu())


class Mixture(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.router = nn.Linear(c.d_model, c.dense_experts, bias=False)
        self.experts = nn.ModuleList(MLP(c) for _ in range(c.dense_experts))

    def forward(self, x: Tensor) -> Tensor:
        share = self.router(x).softmax(-1)
        return sum(share[..., i : i + 1] * expert(x) for i, expert in enumerate(self.experts))


class Block(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        norm = RMSNorm if c.style == "llama" else LayerNorm
        self.parallel = c.style == "neox"
        self.norm1, self.norm2 = norm(c.d_model, c.norm_eps), norm(c.d_model, c.norm_eps)
        self.attention, self.mlp = Attention(c), Mixture(c) if c.dense_experts else MLP(c)

    def forward(self, x: Tensor) -> Tensor:
        if self.parallel:
            return x + self.attention(self.norm1(x)) + self.mlp(self.norm2(x))
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.tokens = nn.Embedding(c.vocab, c.d_model)
        self.places = nn.Parameter(torch.zeros(c.context, c.d_model)) if c.style == "gpt2" else None
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = (RMSNorm if c.style == "llama" else LayerNorm)(c.d_model, c.norm_eps)
        self.head = nn.Linear(c.d_model, c.vocab, bias=False)
        if c.tied_embeddings:
            self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)
        if self.places is not None:
            x = x + self.places[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def generic(config: Config, seed: int = 0) -> Transformer:
    """Matrices N(0, 0.7^2), norm gains 1 + 0.2 N(0, 1), biases N(0, 0.5^2)."""
    model, generator = Transformer(config).double(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            p.copy_(1 + 0.2 * noise if name.endswith("gain") else (0.7 if p.ndim > 1 else 0.5) * noise)
    return model


def sequences(config: Config, dimension: int, seed: int = 1) -> Tensor:
    """Random tokens, every token present, with 1.6 outputs that may be independent for each parameter."""
    count = int(1.6 * dimension / (config.context * (config.d_model - 2))) + 2
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(config.vocab, (max(count, config.vocab), config.context), generator=generator)
    ids[: config.vocab, 0] = torch.arange(config.vocab)
    return ids
