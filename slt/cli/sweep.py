"""``slt sweep``: every checkpoint of a training run, one row each."""

import argparse
import json

from slt.checkpoints import sweep
from slt.cli.inputs import loss_by_name, made_folder, model_factory, named_function, settings
from slt.cli.record import sweep_record


def run(chosen: argparse.Namespace) -> int:
    """Estimate every checkpoint, print the table and save.

    Args:
        chosen: The command's arguments, as `slt.cli.arguments` declares them.

    Returns:
        The exit code: 1 if an estimate is not reliable or a checkpoint failed, else 0.
    """
    loss = loss_by_name(chosen.loss)
    make_model, make_data = model_factory(chosen.model), named_function("--data", chosen.data)
    # a single word may be a pattern; several were expanded by the shell
    checkpoints = chosen.checkpoints[0] if len(chosen.checkpoints) == 1 else chosen.checkpoints
    found = sweep(
        checkpoints,
        make_model,
        make_data(),
        loss,
        save_to=made_folder(chosen.save_to),
        **settings(chosen),
    )
    print(json.dumps(sweep_record(found), indent=2, allow_nan=False) if chosen.json else found)
    return int(not found.ok)
