"""Formulas as MathML, which browsers show by themselves: no script, and nothing fetched from elsewhere."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# What the converter does not read, or not as TeX does: bracket sizes, 12 after tfrac, the space after log.
_REWRITTEN = (
    (re.compile(r"\\(?:[Bb]igg?|mathrel)(?![a-zA-Z])"), ""),
    (re.compile(r"\\([td]?frac)\s*(\w)(\w)"), r"\\\1{\2}{\3}"),
    (re.compile(r"\\(log|min|max)(?![a-zA-Z])(?!\s*[(_^])"), r"\\\1\\,"),
    (re.compile(r"\\hat\s*(\\[a-zA-Z]+)"), r"\\hat{\1}"),
)


def to_mathml(tex: str, block: bool) -> str:
    """Convert a formula; one that cannot be converted ends the build."""
    simple = tex
    for pattern, plain in _REWRITTEN:
        simple = pattern.sub(plain, simple)
    try:
        return tex2mathml(simple, as_block=block)
    except MathError as error:
        raise ExtensionError(f"formula {tex!r} cannot be shown: {error}") from error


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(to_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{to_mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer under the name "mathml"."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
