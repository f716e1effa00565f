"""Sphinx: MyST Markdown, the reference generated from the code itself, warnings are errors (``make docs``)."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "faceinv"
author = "The faceinv developers"
copyright = author
release = version = version_of("faceinv")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "generated"]
exclude_patterns = ["_build", "_ext"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["charts.css"]
html_title = f"faceinv {release}"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# The outputs in the notebook are shown; tests/docs/test_notebook.py computes them again.
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports: list[str] = []
python_display_short_literal_types = True
