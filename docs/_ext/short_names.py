"""Docstrings as they are meant: names lead to where they are documented, w* and |w| are what they say."""

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element) -> nodes.Element | None:
    """Find the one documented name with the same last word, as `slt.Estimate` for `slt.estimators.Estimate`."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target:
        return None
    if not target.startswith("slt.") and not target.isidentifier():
        return None
    last = target.rpartition(".")[2]
    objects = env.domains["py"].data["objects"]
    # A bare word in lower case is an argument far more often than a function of that name.
    if "." not in target and last.islower():
        return None
    found = [name for name, entry in objects.items() if name.rpartition(".")[2] == last and not entry.aliased]
    if len(found) != 1:
        return None
    entry = objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, [contnode], found[0])


# In a line of prose: what is code or a formula, which stays; else a sign that reStructuredText would take for markup.
_SIGNS = re.compile(r"(:math:`[^`]*`|``.*?``|`[^`]*`)|(?<!\\)([*|])")


def escape(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Let asterisks and bars in prose stand for themselves; formulas, examples and literal blocks stay."""
    inside = None  # indentation of the directive or the literal block that the line may belong to
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if inside is not None and line.strip() and indent <= inside:
            inside = None
        if inside is None and not line.lstrip().startswith((">>>", "...")):
            if line.rstrip().endswith("::") or line.lstrip().startswith(".. math::"):
                inside = indent
            else:
                lines[i] = _SIGNS.sub(lambda found: found[1] or "\\" + found[2], line)


def setup(app: Sphinx) -> dict[str, Any]:
    """Ask here for what Sphinx does not find; escape after napoleon has laid the sections out."""
    app.connect("autodoc-process-docstring", escape, priority=900)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
