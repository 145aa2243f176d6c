"""The site: ``python -m sphinx -W docs build/docs`` writes it; open ``build/docs/index.html``.

It opens from disk, without network: no script, font or picture comes from elsewhere. The pages in ``docs/`` are written
by hand. Those in ``docs/generated/`` are written by `docs._ext` from the docstrings, the examples and the experiments.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for docs._ext

project = "tinygan"
author = "the authors of tinygan"
html_title = "tinygan"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",  # [source] beside each function
    "numpydoc",
    "myst_parser",  # pages in Markdown
    "sphinx_gallery.gen_gallery",
    "docs._ext.site",
]
exclude_patterns = ["generated/sources"]

# Docstrings. A name in `backticks` is a link where it names a documented object.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings tell the types
numpydoc_show_class_members = False

# Markdown. Headings have the same anchors as on GitHub.
myst_heading_anchors = 6

sphinx_gallery_conf = {
    "examples_dirs": [],  # filled in by docs._ext.site
    "gallery_dirs": [],
    "filename_pattern": "/lessons/",  # the lessons run, the examples would take hours
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
}

html_math_renderer = "mathml"  # see docs._ext.formulas
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_search_summary = False  # summaries would need a server
html_copy_source = False
