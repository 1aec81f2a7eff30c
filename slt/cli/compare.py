"""``slt compare``: estimates of models whose answer is known, beside that answer."""

import argparse
import json

from slt._progress import say
from slt.api import estimate_llc
from slt.cli.pictures import save_picture
from slt.cli.record import plain
from slt.diagnostics import bench, compare, standard_toys


def run(chosen: argparse.Namespace) -> int:
    """Estimate, print and draw.

    Args:
        chosen: The command's arguments, as `slt.cli.arguments` declares them.

    Returns:
        The exit code: whether an estimate called reliable is more than 4 standard errors off.
    """
    targets = bench() if chosen.all else standard_toys()
    estimates = []
    for done, toy in enumerate(targets):
        if not chosen.quiet:
            say(f"[{done + 1}/{len(targets)}] {toy.name}")
        estimates.append(
            estimate_llc(
                toy.model,
                toy.data,
                toy.loss,
                target_relative_error=chosen.target,
                budget=chosen.budget,
                seed=chosen.seed,
                progress=not chosen.quiet,
            )
        )
    found = compare(estimates, targets)
    if chosen.plot is not None:
        save_picture(chosen.plot, lambda: found.plot().figure)
    print(json.dumps(plain(found.to_dict()), indent=2, allow_nan=False) if chosen.json else found)
    return int(any(row.estimate.verdict.ok and abs(row.z) > 4 for row in found.rows))
