"""How the documentation is built: `make docs`. Nothing is fetched from the network."""

import os
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))
os.environ["MPLBACKEND"] = "Agg"

import slt  # noqa: E402

project = "slt"
author = "The slt developers"
copyright = "The slt developers"
version = release = slt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "generated",
    "mathml",
    "short_names",
]
html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = "slt"
html_static_path = ["_static"]
html_css_files = ["slt.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {
    "index": [],
    "getting-started": [],
    "verdict": [],
    "samplers": [],
    "architecture": [],
    "changelog": [],
}
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]

# Prose is Markdown; notebooks come with their outputs, which `make smoke` checks by running them.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Every reference to a name of slt must resolve; names of other packages stay plain text, as their inventories
# would have to be fetched.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!slt\.).*")]
nitpick_ignore = [  # types inside: they appear in signatures, and have no page of their own
    ("py:class", "slt.errors._Whole"),
    ("py:class", "slt.posterior.local.Posterior"),
    ("py:class", "slt.problem.losses.Loss"),
    ("py:class", "slt.samplers.protocol.Auto"),
    ("py:class", "slt.samplers.protocol.Sampler"),
]

# The tutorials live beside this folder, where Sphinx does not look.
shutil.rmtree(DOCS / "tutorials", ignore_errors=True)
shutil.copytree(DOCS.parent / "tutorials", DOCS / "tutorials", ignore=shutil.ignore_patterns(".*"))
