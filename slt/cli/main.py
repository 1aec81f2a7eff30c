"""Reads the command line, runs the command, and turns errors into exit codes."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from slt.cli.arguments import build_parser
from slt.errors import NoDrawsError, SltError

BAD_VERDICT, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``slt``.

    An error of slt is one line on standard error; any other exception comes from the user's code and propagates.

    Args:
        arguments: The words after ``slt``; None reads those of the process.

    Returns:
        The exit code: 0 if all went well, 1 if an estimate is not reliable or a checkpoint failed, 2 if the command or
        its arguments cannot be used, 130 after Ctrl-C, 141 if the reader of the output has closed it.
    """
    chosen = build_parser().parse_args(arguments)
    command = import_module(f"slt.cli.{chosen.command}")  # imports torch, which --help need not wait for
    try:
        code = command.run(chosen)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # the reader has closed the output; Python would complain at exit about the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except KeyboardInterrupt as error:
        code, message = INTERRUPTED, str(error) or "interrupted."
    except NoDrawsError as error:
        code, message = BAD_VERDICT, error
    except SltError as error:
        code, message = BAD_INPUT, error
    from slt._progress import say  # not at the top, so that --help need not import it

    say(f"slt {chosen.command}: {' '.join(str(message).split())}")
    return code
