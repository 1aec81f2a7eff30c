"""What pages take from the package itself, so that it cannot differ from it.

In a page, ``<!-- generated: problems -->`` becomes the problems of a verdict, ``<!-- generated: help llc -->`` the
help of a command, ``<!-- generated: changes -->`` what the next release will bring, ``<!-- generated: known -->`` the
catalogue of exact RLCTs and ``<!-- generated: functions -->`` the reference of its functions.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from families import functions, known
from meanings import MEANINGS
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from slt.cli.arguments import build_parser
from slt.estimators import Problem, judges

_MARK = re.compile(r"<!-- generated: (\w+) ?(\w*) -->")
_CHANGES = Path(__file__).parents[2] / "changelog.d"


def problems(_: str) -> str:
    """A section for each problem: its sentence, when it is found, what it means, what to do."""
    thresholds = {name: value for name, value in vars(judges).items() if name.isupper()}
    _require_complete(thresholds)
    sections = []
    for problem in Problem:
        meaning = MEANINGS[problem]
        found = f"*Found* {_plain(meaning.found.format(**thresholds))}"
        lines = [f"### {problem}", f"**{_plain(problem.sentence)}**", found, _plain(meaning.why)]
        if problem.remedy:
            lines.append(f"*What to do:* {_plain(problem.remedy)}")
        sections.append("\n\n".join(lines))
    return "\n\n".join(sections)


def _plain(text: str) -> str:
    """Let the asterisk of w* stand for itself."""
    return text.replace("*", r"\*")


def _require_complete(thresholds: dict[str, float]) -> None:
    """Every problem must be explained, and every threshold named; else the page would fall behind silently."""
    missing = [str(problem) for problem in Problem if problem not in MEANINGS]
    text = " ".join(meaning.found for meaning in MEANINGS.values())
    unnamed = [name for name in thresholds if not re.search(rf"\{{{name}[:}}]", text)]
    if missing or unnamed:
        raise ExtensionError(f"docs/_ext/meanings.py must explain {missing} and name the thresholds {unnamed}.")


def command_help(command: str) -> str:
    """What a command prints for --help."""
    os.environ["COLUMNS"] = "100"
    parser = build_parser()
    commands = next(action.choices for action in parser._actions if action.dest == "command")
    chosen = commands[command] if command else parser
    return f"```text\n{chosen.format_help()}```"


def changes(_: str) -> str:
    """The fragments of the next release, by kind."""
    sections = []
    for kind in ("added", "changed", "fixed", "removed"):
        found = sorted(_CHANGES.glob(f"*.{kind}.md"), key=lambda path: (len(path.name), path.name))
        if found:
            texts = [" ".join(path.read_text(encoding="utf-8").split()) for path in found]
            sections.append("\n".join([f"### {kind.capitalize()}", "", *(f"- {text}" for text in texts)]))
    return "\n\n".join(sections) or "Nothing yet."


_MAKERS: dict[str, Callable[[str], str]] = {
    "problems": problems,
    "help": command_help,
    "changes": changes,
    "known": known,
    "functions": functions,
}


def _fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    if not docname.startswith("tutorials/"):
        source[0] = _MARK.sub(lambda mark: _MAKERS[mark[1]](mark[2]), source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Fill in each page as it is read."""
    app.connect("source-read", _fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
