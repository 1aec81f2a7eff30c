"""Ready losses against torch's own formulas, and the conventions they state."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from slt.errors import LossError
from slt.problem import Problem, gaussian_loss
from slt.problem.losses import Loss, resolve_loss
from tests.models import CausalLM, drawn, integers, mlp, seeded, token_losses


def value(loss: Any, model: Any, batch: Any) -> Tensor:
    return resolve_loss(loss)(model, batch)


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


X = drawn(6, 4, seed=1)
CLASSES = integers(3, 6, seed=2)
MODEL = mlp(4, 5, 3)


def test_cross_entropy_of_classes():
    found = value("cross_entropy", MODEL, (X, CLASSES))
    assert found.shape == (6,)
    same(found.mean(), functional.cross_entropy(MODEL(X), CLASSES))
    same(found, -MODEL(X).log_softmax(1)[torch.arange(6), CLASSES])


def test_cross_entropy_of_probabilities():
    soft = drawn(6, 3, seed=3).softmax(1)
    same(value("cross_entropy", MODEL, (X, soft)), -(soft * MODEL(X).log_softmax(1)).sum(1))


def test_cross_entropy_averages_the_positions_of_an_example():
    logits, y = drawn(6, 3, 4, 5, seed=4), integers(3, 6, 4, 5, seed=5)
    found = value("cross_entropy", lambda _: logits, (X, y))
    assert found.shape == (6,)
    same(found.mean(), functional.cross_entropy(logits, y))


def test_an_output_object_is_read_by_its_logits():
    found = value("cross_entropy", lambda x: SimpleNamespace(logits=MODEL(x), loss=None), (X, CLASSES))
    same(found, value("cross_entropy", MODEL, (X, CLASSES)))


@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 3, 2)])
def test_mse_sums_the_squares_of_an_example(shape: tuple[int, ...]):
    output, y = drawn(*shape, seed=6), drawn(*shape, seed=7)
    found = value("mse", lambda _: output, (X, y))
    same(found, torch.stack([((o - t) ** 2).sum() for o, t in zip(output, y, strict=True)]))


@pytest.mark.parametrize("scale", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("named", [False, True])
def test_gaussian_is_the_negative_log_likelihood_up_to_its_constant(scale: float, named: bool):
    y = drawn(6, 3, seed=8)
    found = value(f"gaussian:{scale}" if named else gaussian_loss(scale), MODEL, (X, y))
    full = -torch.distributions.Normal(MODEL(X), scale).log_prob(y).sum(1)
    same(found, full - 3 * math.log(scale * math.sqrt(2 * math.pi)))


def test_gaussian_without_a_scale_is_standard():
    y = drawn(6, 3, seed=8)
    same(value("gaussian", MODEL, (X, y)), value(gaussian_loss(1.0), MODEL, (X, y)))


LM = seeded(CausalLM)
IDS = integers(11, 6, 7, seed=9)
MASK = (torch.arange(7) < torch.tensor([7, 2, 3, 5, 6, 4])[:, None]).long()


@pytest.mark.parametrize("batch", [IDS, (IDS,), [IDS, MASK], {"input_ids": IDS}])
def test_causal_lm_predicts_each_token_from_those_before(batch: Any):
    logits = LM(IDS)
    plain = functional.cross_entropy(logits[:, :-1].reshape(-1, 11), IDS[:, 1:].reshape(-1), reduction="none")
    same(value("causal_lm", LM, batch), plain.reshape(6, 6).mean(1))


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_causal_lm_leaves_out_padding_and_labels_of_minus_100(labelled: bool, masked: bool):
    batch = {"input_ids": IDS}
    if masked:
        batch["attention_mask"] = MASK
    if labelled:
        batch["labels"] = torch.where(integers(2, 6, 7, seed=10) == 0, -100, IDS)
    same(value("causal_lm", LM, batch), token_losses(LM, batch))


def test_causal_lm_of_a_sequence_without_counted_tokens_is_0():
    labels = IDS.clone()
    labels[2, 1:] = -100
    found = value("causal_lm", LM, {"input_ids": IDS, "labels": labels}).detach()
    assert found[2].item() == 0
    assert bool((found[[0, 1, 3, 4, 5]] > 0).all())


def test_causal_lm_hands_the_model_everything_but_the_labels():
    seen = {}

    def model(**inputs: Any) -> SimpleNamespace:
        seen.update(inputs)
        return SimpleNamespace(logits=LM(inputs["input_ids"]))

    value("causal_lm", model, {"input_ids": IDS, "attention_mask": MASK, "labels": IDS, "position_ids": IDS})
    assert sorted(seen) == ["attention_mask", "input_ids", "position_ids"]


def test_causal_lm_takes_no_other_negative_label():
    labels = IDS.clone()
    labels[0, 3] = -1
    with pytest.raises(IndexError, match="-1 is out of bounds"):
        value("causal_lm", LM, {"input_ids": IDS, "labels": labels})


@pytest.mark.parametrize(
    ("loss", "batch", "message"),
    [
        ("mse", (X, drawn(6, seed=1)), r"same shape, got \(6, 3\) and \(6,\); broadcasting"),
        ("gaussian", (X, drawn(6, 1, seed=1)), r"got \(6, 3\) and \(6, 1\)"),
        ("mse", X, r'"mse" needs batches \(inputs, targets\), got Tensor'),
        ("cross_entropy", (X, CLASSES, X), "got 3 entries"),
        ("gaussian", {"x": X}, "got dict"),
        ("causal_lm", {"labels": IDS}, r"needs input_ids in the batch, got \['labels'\]"),
    ],
)
def test_a_batch_that_does_not_fit_the_loss_is_refused(loss: str, batch: Any, message: str):
    with pytest.raises(LossError, match=message):
        value(loss, MODEL, batch)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("huber", "must be one of cross_entropy, mse, gaussian, causal_lm or a function, got 'huber'"),
        ("", "got ''"),
        ("mse:2", "got 'mse:2'"),
        ("gaussian:", "got 'gaussian:'"),
        ("gaussian:wide", "the scale in 'gaussian:wide' must be a positive number"),
        ("gaussian:-1", "must be a positive number"),
        ("gaussian:nan", "must be a positive number"),
        ("gaussian:inf", "must be a positive number"),
        (None, "got NoneType"),
        (3.0, "got float"),
    ],
)
def test_an_unknown_loss_is_refused(loss: Any, message: str):
    with pytest.raises(LossError, match=message):
        resolve_loss(loss)


def three(model: Any, x: Any, y: Any) -> Tensor:
    return model(x)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss(), 'but CrossEntropyLoss takes outputs and targets. Pass loss="cross_entropy", or lambda'),
        (functional.cross_entropy, 'but cross_entropy takes outputs and targets. Pass loss="cross_entropy", or lambda'),
        (nn.MSELoss(), 'MSELoss takes outputs and targets. Pass loss="mse" or "gaussian", or lambda model, batch'),
        (
            nn.HuberLoss(),
            r"HuberLoss takes outputs and targets. Pass lambda model, batch: the_loss\(model\(batch\[0\]\)",
        ),
        (three, r"three\(model: Any, x: Any, y: Any\) -> torch.Tensor cannot be: missing a required argument: 'y'"),
        (lambda: None, "too many positional arguments"),
    ],
)
def test_a_loss_of_another_convention_is_refused_with_the_one_to_use(loss: Any, message: str):
    with pytest.raises(LossError, match=f"loss is called as loss\\(model, batch\\), .*{message}"):
        resolve_loss(loss)


def test_a_module_that_takes_model_and_batch_is_a_loss():
    class Mine(nn.Module):
        def forward(self, model: nn.Module, batch: Any) -> Tensor:
            return model(batch[0]).sum(1)

    assert resolve_loss(Mine()).convention.endswith("Mine")


LABELS = integers(3, 20, seed=3)
ROWS = drawn(20, 4, seed=4)


def with_label(row: int, label: int) -> Tensor:
    labels = LABELS.clone()
    labels[row] = label
    return labels


@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            LABELS.double(),
            r"class indices, integers of shape \(16,\), .* got torch.float64 of shape .* targets.long\(\)",
        ),
        (with_label(3, 3), r"from 0 to 2, as the model gives 3 logits .* got 3 in row 3; 1 of rows 0 to"),
        (with_label(18, -1), "got -1 in row 18; 1 of rows"),
        (LABELS[:, None], r"must have shape \(16,\) beside logits of shape \(16, 3\), .* got \(16, 1\)"),
        (LABELS[:, None].expand(-1, 7), r"got \(16, 7\)"),
    ],
)
def test_targets_that_cannot_be_scored_are_named_with_their_row(targets: Tensor, message: str, batch_size: int | None):
    with pytest.raises(LossError, match=message):
        Problem(MODEL, (ROWS, targets), "cross_entropy", batch_size=batch_size)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_class_indices_of_any_integer_type_are_scored(dtype: torch.dtype):
    found = Problem(MODEL, (ROWS, LABELS.to(dtype)), "cross_entropy").loss_center
    assert found == Problem(MODEL, (ROWS, LABELS), "cross_entropy").loss_center


def test_uncounted_labels_and_probabilities_pass_the_check():
    Problem(MODEL, (ROWS, with_label(4, -100)), "cross_entropy")
    Problem(MODEL, (ROWS, drawn(20, 3, seed=3).softmax(1)), "cross_entropy")


def test_logits_without_classes_are_refused():
    model = nn.Sequential(mlp(4, 3), nn.Flatten(0))
    with pytest.raises(LossError, match=r"needs logits \(batch, classes, ...\) from the model, got shape \(48,\)"):
        Problem(model, (ROWS, LABELS), "cross_entropy")


def test_tokens_beyond_the_vocabulary_are_named_with_their_row():
    labels = IDS.clone()
    labels[4, 2] = 11
    with pytest.raises(LossError, match=r'labels of "causal_lm" must be from 0 to 10, .* got 11 in row 4'):
        Problem(LM, {"input_ids": IDS, "labels": labels}, "causal_lm")
    with pytest.raises(
        LossError, match=r"needs logits \(batch, length, vocabulary\) from the model, got shape \(6, 3\)"
    ):
        Problem(MODEL, (X,), "causal_lm")


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_noise_scale_must_be_positive_and_finite(scale: float):
    with pytest.raises(LossError, match="must be positive and finite"):
        gaussian_loss(scale)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "gaussian", "gaussian:2", "causal_lm"])
def test_a_ready_loss_states_its_convention_in_nats(loss: str):
    assert resolve_loss(loss).convention.startswith("nats; ")


def test_a_loss_of_the_user_s_is_named_in_its_convention():
    def my_loss(model: nn.Module, batch: Any) -> Tensor:
        return model(batch)

    assert resolve_loss(my_loss).convention.endswith("my_loss")
    loss = Loss(my_loss, "bits")
    assert resolve_loss(loss) is loss


def test_cross_entropy_leaves_uncounted_positions_out() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 6, generator=generator)  # logits (batch, classes, positions)
    y = torch.randint(5, (3, 6), generator=generator)
    y[0, 2:] = -100
    each = resolve_loss("cross_entropy")(torch.nn.Identity(), (x, y))
    for row in range(3):
        torch.testing.assert_close(each[row], torch.nn.functional.cross_entropy(x[row].T, y[row]))
