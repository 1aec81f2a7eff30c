"""Reads the command line, hands each command to its file, and turns what went wrong into an exit code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from slt.cli.arguments import build_parser
from slt.errors import NoDrawsError, SltError

BAD_VERDICT, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``slt``.

    What slt refuses is one line on the standard error; any other exception comes from the user's code, and
    propagates.

    Args:
        arguments: The words after ``slt``; None reads those of the process.

    Returns:
        The exit code: 0 where all went well, 1 where a verdict is bad or a checkpoint failed, 2 where the
        command or what it names cannot be used, 130 after Ctrl-C, 141 where the reader of the output has left.
    """
    chosen = build_parser().parse_args(arguments)
    command = import_module(f"slt.cli.{chosen.command}")  # imports torch, which --help need not wait for
    try:
        code = command.run(chosen)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # whoever read the output has seen enough; Python would complain of the rest at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except KeyboardInterrupt as error:
        code, message = INTERRUPTED, str(error) or "interrupted."
    except NoDrawsError as error:
        code, message = BAD_VERDICT, error
    except SltError as error:
        code, message = BAD_INPUT, error
    from slt._progress import say  # its imports too are none of --help's

    say(f"slt {chosen.command}: {' '.join(str(message).split())}")
    return code
