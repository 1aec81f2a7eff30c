"""``slt llc``: one checkpoint, one estimate."""

import argparse
import json

from slt.api import estimate_llc
from slt.checkpoints import load_weights
from slt.cli.inputs import loss_by_name, made_folder, model_factory, named_function, settings
from slt.cli.record import estimate_record


def run(chosen: argparse.Namespace) -> int:
    """Estimate, print and save.

    Args:
        chosen: The command's arguments, as `slt.cli.arguments` declares them.

    Returns:
        The exit code: 1 if the estimate is not reliable, else 0.
    """
    loss = loss_by_name(chosen.loss)
    make_model, make_data = model_factory(chosen.model), named_function("--data", chosen.data)
    folder = made_folder(chosen.save_to)
    model = make_model()
    load_weights(model, chosen.checkpoint)
    estimate = estimate_llc(model, make_data(), loss, save_to=folder, **settings(chosen))
    print(json.dumps(estimate_record(estimate), indent=2, allow_nan=False) if chosen.json else estimate)
    return int(not estimate.verdict.ok)
