"""A sweep as one self-contained HTML page."""

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slt._store import slt_version
from slt._text import printable
from slt.checkpoints.rows import Row, draw_rows, html_table, steps_of, summary
from slt.estimators import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 90
_DECADES = 100  # steps that span so large a ratio are drawn on a logarithmic axis

# The policy forbids a browser to load anything, whatever a name or a message contains.
_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LLC over training</title>
<style>
body { font-family: system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.45;
       color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 0.25rem 0.8rem; border-bottom: 1px solid #ddd; vertical-align: top;
         white-space: nowrap; }
td:first-child, td:last-child { white-space: normal; overflow-wrap: anywhere; }
td:first-child { min-width: 10rem; }
img { max-width: 100%; height: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f5f5; padding: 0.6rem; font-size: 0.85rem; }
section { border-top: 2px solid #ddd; margin-top: 2rem; }
.bad { color: #b00020; }
</style></head><body>
"""


def report_page(rows: Sequence[Row]) -> str:
    """Return a page with the table, the LLC over training, and the verdict and traces of every checkpoint.

    Pictures are embedded and nothing is loaded from outside. The page does not depend on when or how fast it was made.

    Args:
        rows: The result for each checkpoint.

    Returns:
        The page.
    """
    anchors = [f"checkpoint-{i}" for i in range(len(rows))]
    parts = [_HEAD, "<h1>Local learning coefficient over training</h1>", f"<p>{html.escape(summary(rows))}.</p>"]
    if any(row.estimate is not None for row in rows):
        parts.append(_over_training(rows))
    parts.append(html_table(rows, [f"#{anchor}" for anchor in anchors]))
    parts += [_section(row, anchor) for row, anchor in zip(rows, anchors, strict=True)]
    parts.append(f"<p>Written by slt {html.escape(slt_version())}.</p></body></html>\n")
    return printable("\n".join(parts))


def _section(row: Row, anchor: str) -> str:
    parts = [f'<section id="{anchor}"><h2>{html.escape(row.name)}</h2>']
    if row.estimate is None:
        error = html.escape(f"{type(row.error).__name__}: {row.error}")
        parts.append(f'<p class="bad">No estimate was made.</p><pre>{error}</pre>')
    else:
        parts += [_verdict(row.estimate), _traces(row.name, row.estimate), _in_full(row.estimate)]
    return "\n".join([*parts, "</section>"])


def _verdict(estimate: Estimate) -> str:
    """Give the verdict, its problems and its notes."""
    found = estimate.verdict
    mark = "" if found.ok else ' class="bad"'
    opening = f"<p{mark}>Verdict: {html.escape(estimate.verdict_line)}.</p>"
    problems = "".join(f"<li>{html.escape(str(finding))}</li>" for finding in found.problems)
    notes = "".join(f"<li>{html.escape(str(finding))}</li>" for finding in found.notes)
    return (
        opening
        + (f'<ul class="bad">{problems}</ul>' if problems else "")
        + (f"<p>Notes:</p><ul>{notes}</ul>" if notes else "")
    )


def _in_full(estimate: Estimate) -> str:
    return f"<details><summary>The whole estimate</summary><pre>{html.escape(str(estimate))}</pre></details>"


def _over_training(rows: Sequence[Row]) -> str:
    figure = _figure(8, 4.5)
    steps = steps_of(rows)
    ax = draw_rows(rows, steps, figure.subplots())
    if min(steps) > 0 and max(steps) >= _DECADES * min(steps):
        ax.set_xscale("log")
    return _image(figure, "LLC with its 95 % interval over training steps")


def _traces(name: str, estimate: Estimate) -> str:
    figure = _figure(11, 6.5)
    estimate.plot(axes=figure.subplots(2, 2, sharex=True))
    return _image(figure, f"Traces of the chains at {name}")


def _figure(width: float, height: float) -> "Figure":
    """Make a figure that has no window and is not registered with `pyplot`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _image(figure: "Figure", description: str) -> str:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI)
    data = base64.b64encode(png.getvalue()).decode("ascii")
    return f'<p><img alt="{html.escape(description)}" src="data:image/png;base64,{data}"></p>'
