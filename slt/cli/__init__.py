"""The command line: ``slt COMMAND``."""

from slt.cli.main import main

__all__ = ["main"]
