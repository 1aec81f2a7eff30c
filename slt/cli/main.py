"""Reads the command line and hands each command to its file."""

import argparse
from collections.abc import Sequence

import slt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``slt``; return its exit code, 0 where all went well."""
    parser = argparse.ArgumentParser(
        prog="slt", description="Singular learning theory estimation: how degenerate is a trained model?"
    )
    parser.add_argument("--version", action="version", version=f"slt {slt.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train two small networks on real digits and follow their LLC over training",
        description="Trains an MLP and a CNN on scikit-learn's digits, estimates the LLC of eight checkpoints of "
        "each, prints a table and draws a picture. Takes a few minutes.",
    )
    demo.add_argument("--out", default="slt-demo", help="folder for checkpoints, traces and picture")
    demo.add_argument("--quiet", action="store_true", help="no progress bars")
    chosen = parser.parse_args(arguments)
    from slt.cli.demo import run_demo  # imports torch, which --help need not wait for

    return run_demo(chosen.out, progress=not chosen.quiet)
