"""The arguments of each command."""

import argparse

import slt
from slt.cli.families import add_families

_EXIT_CODES = (
    "Exit code: 0 if every estimate is reliable, 1 if one is not or a checkpoint failed, 2 if the command or its "
    "arguments cannot be used."
)
_BY_NAME = "imported from the current folder and called without arguments"


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``slt``; `command` in the parsed arguments names the module that runs."""
    parser = argparse.ArgumentParser(
        prog="slt", description="Singular learning theory estimation: how degenerate is a trained model?"
    )
    parser.add_argument("--version", action="version", version=f"slt {slt.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_llc(commands)
    _add_sweep(commands)
    _add_degeneracy(commands)
    _add_exact(commands)
    _add_compare(commands)
    _add_demo(commands)
    return parser


def _add_llc(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    llc = commands.add_parser(
        "llc",
        help="estimate the local learning coefficient of one checkpoint",
        description="Estimates the local learning coefficient of one checkpoint, with its error and verdict.",
        epilog=_EXIT_CODES,
    )
    _add_checkpoint(llc)
    _add_problem(llc)
    _add_settings(llc)
    _add_output(llc, "folder for the draws (trace.nc)")


def _add_sweep(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sweep = commands.add_parser(
        "sweep",
        help="estimate the local learning coefficient of every checkpoint",
        description="Estimates the local learning coefficient of every checkpoint and prints a table. One that "
        "fails is listed with its error, and the others are finished.",
        epilog=_EXIT_CODES,
    )
    sweep.add_argument(
        "checkpoints", nargs="+", metavar="CHECKPOINTS", help="files, or one pattern in quotes such as 'ckpts/*.pt'"
    )
    _add_problem(sweep)
    _add_settings(sweep)
    _add_output(
        sweep,
        "folder for the draws of each checkpoint (NAME.nc), the table (sweep.csv) and the page (report.html); the same "
        "command continues where an earlier one ended",
    )


def _add_degeneracy(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    degeneracy = commands.add_parser(
        "degeneracy",
        help="explain where the degeneracy of one checkpoint comes from",
        description="Sorts the null directions of one checkpoint by cause and order of growth, and bounds its learning "
        "coefficient.",
        epilog="Exit code: 0, or 2 if the command or what it names cannot be used.",
    )
    _add_checkpoint(degeneracy)
    _add_problem(degeneracy)
    group = degeneracy.add_argument_group("settings, all with a default")
    group.add_argument(
        "--function",
        choices=("logits", "log_probs"),
        help="whose null directions to count; default what the loss is a function of",
    )
    group.add_argument(
        "--parameters",
        nargs="+",
        metavar="NAME",
        help="names, globs or modules of the parameters to move; default all that train",
    )
    group.add_argument("--llc", metavar="FILE", help="trace.nc of an estimate to compare with the quadratic value")
    output = degeneracy.add_argument_group("output")
    output.add_argument(
        "--plot", metavar="FILE", help="picture of the spectrum and of the tensors with null directions"
    )
    output.add_argument("--json", action="store_true", help="print JSON; null is nan or infinity")


def _add_exact(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    exact = commands.add_parser(
        "exact",
        help="print the exact RLCT of a loss where it is known",
        description="Prints the real log canonical threshold and multiplicity of one loss, as exact numbers, with "
        "their source and conditions. Numbers are integers or fractions such as 1/2; a vector is written "
        "with commas, such as 2,0,1. slt exact FAMILY --help lists the arguments of a family.",
        epilog="Exit code: 0, or 2 if there is no such loss or no value is known.",
    )
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--json", action="store_true", help="print JSON; fractions are strings such as 3/2")
    add_families(exact, output)


def _add_compare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = commands.add_parser(
        "compare",
        help="estimate models whose answer is known, and compare",
        description="Estimates a dozen models with all defaults, and prints each estimate beside the exact or "
        "reference value at the same n, the exact limit, the error and the verdict. Takes about two minutes.",
        epilog="Exit code: 0, 1 if an estimate called reliable is more than 4 standard errors off, or 2 if the picture "
        "cannot be written.",
    )
    group = compare.add_argument_group("settings, all with a default")
    group.add_argument("--all", action="store_true", help="the whole bench, about a hundred models, instead of a dozen")
    _add_target(group)
    group.add_argument("--budget", type=float, default=10.0, metavar="SECONDS", help="for one model; default 10")
    group.add_argument("--seed", type=int, default=0, help="seed of all random numbers; default 0")
    output = compare.add_argument_group("output")
    output.add_argument("--plot", metavar="FILE", help="picture of the errors with their intervals")
    output.add_argument("--json", action="store_true", help="print JSON; null is nan or infinity")
    output.add_argument("--quiet", action="store_true", help="no progress")


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser(
        "demo",
        help="train two small networks on real digits and follow their LLC over training",
        description="Trains an MLP and a CNN on scikit-learn's digits, estimates the LLC of eight checkpoints of "
        "each, prints a table and draws a picture. Takes a few minutes.",
    )
    demo.add_argument("--out", default="slt-demo", help="folder for checkpoints, traces and picture")
    demo.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE", help=".safetensors, or a state dict written by torch.save"
    )


def _add_problem(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the problem")
    group.add_argument(
        "--model", required=True, metavar="MODULE:FACTORY", help=f"makes the torch.nn.Module; {_BY_NAME}"
    )
    group.add_argument(
        "--data",
        required=True,
        metavar="MODULE:FACTORY",
        help=f"makes a tuple of tensors, a Dataset or a DataLoader; {_BY_NAME}",
    )
    group.add_argument(
        "--loss",
        required=True,
        metavar="LOSS",
        help="cross_entropy, mse, gaussian, gaussian:SCALE, causal_lm, or MODULE:FUNCTION of (model, batch) in nats",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings, all with a default")
    group.add_argument("--n", type=int, metavar="EXAMPLES", help="how many to read, for data without a length")
    group.add_argument("--nbeta", type=float, help="inverse temperature times n; default n / log n")
    group.add_argument(
        "--localization", type=_localization, default="auto", metavar="GAMMA", help="a number, or auto (default)"
    )
    _add_target(group)
    group.add_argument("--budget", type=float, metavar="SECONDS", help="for one checkpoint; default 60")
    group.add_argument(
        "--sampler", choices=("auto", "hmc", "sgld"), default="auto", help="default auto: hmc if the budget affords it"
    )
    group.add_argument("--chains", type=int, help="default 8 to 256, depending on their cost")
    group.add_argument("--batch-size", type=int, metavar="ROWS", help="rows of a minibatch, or of a chunk for hmc")
    group.add_argument("--seed", type=int, default=0, help="seed of all random numbers; default 0")


def _add_target(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--target",
        type=float,
        default=0.02,
        metavar="SHARE",
        help="half-width of the 95 %% interval over the value at which to stop; default 0.02",
    )


def _add_output(parser: argparse.ArgumentParser, saved: str) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--save-to", metavar="FOLDER", help=saved)
    group.add_argument("--json", action="store_true", help="print JSON: all but the draws; null is nan or infinity")
    group.add_argument("--quiet", action="store_true", help="no progress bars")


def _localization(text: str) -> float | str:
    """Read "auto" or a number; argparse reports anything else as an error."""
    return text if text == "auto" else float(text)


_localization.__name__ = "number or auto"
