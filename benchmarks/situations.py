"""What slt does in situations that users may bring it into: right, refused by name before any work, or neither.

    python benchmarks/situations.py [--quick] [--only TEXT] [--list]

A situation is a model in a context on data, saved somewhere; see tests/faults/situations.py. What each must come to
stands with its parts, and was written before the runs. Failures are listed by name.
"""

import sys
import time
from pathlib import Path

from _shared import arguments, dated

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.situations import Outcome, Situation, outcomes, situations, small_sample, table


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", help="situations whose line holds this text")
    parser.add_argument("--list", action="store_true", help="show every situation, and its seconds")
    chosen = parser.parse_args()
    print(dated(chosen.quick), flush=True)
    every = [situation for situation in situations() if chosen.only in str(situation)]
    start = time.process_time()

    def show(found: Outcome) -> None:
        if chosen.list or not found.good:
            print(f"{found.line} | {found.seconds:.2f} s" if chosen.list else found.line, flush=True)

    outcomes([Situation(), Situation(call="explain")])  # what is imported at the first call is no change of the world
    found = outcomes(small_sample(every) if chosen.quick else every, show)
    print(table(found))
    print(f"{time.process_time() - start:.0f} seconds of CPU")
    raise SystemExit(any(not one.good for one in found))


if __name__ == "__main__":
    main()
