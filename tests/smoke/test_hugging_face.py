"""Hugging Face classes from small configurations with random weights: right ranks, in spite of the casts inside.

`make smoke` installs transformers, so that none of these is skipped there.
"""

import copy
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

import slt
from tests.degeneracy.transformers_small import Config, Transformer, generic, sequences

pytestmark = pytest.mark.smoke

CONTEXT, EPS = 5, 1e-2  # an eps of the size of the activations' squares takes the overall scale away for certain


def built(name: str) -> tuple[Any, Config]:
    """A class of the library, and the same architecture of our own."""
    transformers = pytest.importorskip("transformers", reason="the Hugging Face classes need transformers: make smoke")
    shape: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": CONTEXT}
    ids: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "use_cache": False}
    llama = {**shape, "vocab_size": 11, "hidden_size": 6, "intermediate_size": 5, "num_key_value_heads": 2}
    llama |= {"head_dim": 4, "rms_norm_eps": EPS, "tie_word_embeddings": False}
    if name == "Llama":
        config = transformers.LlamaConfig(**llama, **ids)
        return transformers.LlamaForCausalLM(config), Config(norm_eps=EPS)
    if name == "Llama, grouped heads":
        grouped = {**llama, "hidden_size": 8, "num_attention_heads": 4}
        config = transformers.LlamaConfig(**grouped, **ids)
        return transformers.LlamaForCausalLM(config), Config(d_model=8, heads=4, norm_eps=EPS)
    if name == "Qwen3":
        config = transformers.Qwen3Config(**llama, **ids)
        return transformers.Qwen3ForCausalLM(config), Config(qk_norm=True, norm_eps=EPS)
    if name == "NeoX":
        neox = {**shape, "vocab_size": 20, "hidden_size": 8, "intermediate_size": 3, "rotary_pct": 0.5}
        config = transformers.GPTNeoXConfig(**neox, layer_norm_eps=EPS, tie_word_embeddings=False, **ids)
        ours = Config(vocab=20, d_model=8, d_head=4, d_ff=3, rotary_dims=2, mlp_act="gelu", norm_eps=EPS, style="neox")
        return transformers.GPTNeoXForCausalLM(config), ours
    gpt2 = {"vocab_size": 20, "n_positions": CONTEXT, "n_embd": 6, "n_layer": 1, "n_head": 2, "n_inner": 5}
    config = transformers.GPT2Config(**gpt2, layer_norm_epsilon=EPS, **ids)
    ours = {"vocab": 20, "d_head": 3, "mlp_act": "gelu", "norm_eps": EPS, "tied_embeddings": True, "style": "gpt2"}
    return transformers.GPT2LMHeadModel(config), Config(**ours)


def drawn(model: Any, seed: int = 0) -> Any:
    """Matrices N(0, 0.7^2), norm gains 1 + 0.2 N(0, 1), biases N(0, 0.5^2)."""
    model, generator = model.double().eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            gain = p.ndim == 1 and name.endswith("weight")
            p.copy_(1 + 0.2 * noise if gain else (0.7 if p.ndim > 1 else 0.5) * noise)
    return model


def size(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def nullity(model: torch.nn.Module, ids: Tensor, function: Any) -> int:
    given = ids if isinstance(model, Transformer) else {"input_ids": ids}
    found = slt.functional_dimension(model, given, function=function)
    assert found.clear
    assert found.scope == "function"
    return found.nullity


# The terms of Llama: rotation of the residual stream d (d - 1) / 2, three gains of d, d_head a key-value head for the
# rotary query-key, d_head^2 for the value-output product, d_ff for up against down. Norms of queries and keys leave
# d_head / 2 a layer. An untied head gives the log-probabilities d_model more: a vector added to all of its rows.
COUNTS = {
    "Llama": (15 + 18 + 8 + 32 + 5, 6),
    "Llama, grouped heads": (28 + 24 + 8 + 32 + 5, 8),
    "Qwen3": (15 + 18 + 2 + 32 + 5, 6),
}


@pytest.mark.parametrize("function", ["logits", "log_probs"])
@pytest.mark.parametrize("name", ["Llama", "Llama, grouped heads", "Qwen3", "NeoX", "GPT-2"])
def test_the_rank_is_that_of_the_architecture(name: str, function: str) -> None:
    model, config = built(name)
    ours = generic(config)
    model = drawn(model)
    assert size(model) == size(ours)
    ids = sequences(config, size(model))
    found = nullity(model, ids, function)
    # a second implementation of the same architecture, with other weights
    assert found == nullity(ours, ids, function)
    if name in COUNTS:
        count, head = COUNTS[name]
        assert found == count + (head if function == "log_probs" else 0)


@pytest.mark.parametrize("name", ["Llama", "NeoX"])
def test_a_plain_double_gives_a_wrong_rank(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, config = built(name)
    model.set_attn_implementation("eager")  # its softmax casts; the norms of Llama do in any case
    model = drawn(model)
    ids = sequences(config, size(model))
    right = nullity(model, ids, "logits")
    assert right == nullity(generic(config), ids, "logits")
    monkeypatch.setattr("slt.degeneracy.precision.KeepDouble", nullcontext)
    wrong = slt.functional_dimension(model, {"input_ids": ids})
    assert wrong.nullity < right  # rounding errors of float32 pass for singular values


def test_it_is_explained_from_a_causal_loss_and_left_untouched() -> None:
    model, config = built("Llama")
    model = drawn(model).float().train()
    before = copy.deepcopy(model.state_dict())
    ids = sequences(config, size(model))
    found = slt.explain(model, {"input_ids": ids}, "causal_lm")
    assert found.function == "log_probs"
    assert found.nullity == sum(cause.dimension for cause in found.causes)
    assert found.total("symmetry") >= 5  # up against down
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert model.training
