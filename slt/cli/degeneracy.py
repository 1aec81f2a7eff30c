"""``slt degeneracy``: one checkpoint, and where its degeneracy comes from."""

import argparse
import json

from slt.checkpoints import load_weights
from slt.cli.inputs import loss_by_name, model_factory, named_function
from slt.cli.pictures import save_picture
from slt.cli.record import plain
from slt.degeneracy import explain
from slt.estimators import llc
from slt.trace import Trace


def run(chosen: argparse.Namespace) -> int:
    """Explain, print and draw.

    Args:
        chosen: The command's arguments, as `slt.cli.arguments` declares them.

    Returns:
        The exit code: 0.
    """
    loss = loss_by_name(chosen.loss)
    make_model, make_data = model_factory(chosen.model), named_function("--data", chosen.data)
    estimate = None if chosen.llc is None else llc(Trace.load(chosen.llc))
    model = make_model()
    load_weights(model, chosen.checkpoint)
    found = explain(
        model, make_data(), loss, function=chosen.function, parameters=chosen.parameters or None, llc=estimate
    )
    if chosen.plot is not None:
        save_picture(chosen.plot, lambda: found.plot()[0].figure)
    print(json.dumps(plain(found.to_dict()), indent=2, allow_nan=False) if chosen.json else found)
    return 0
