# SPDX-License-Identifier: Apache-2.0
"""Settings of Sphinx, which builds the pages of docs/ and the API reference.

sphinx-build -W --keep-going -b html docs docs/_build
"""

import importlib
import importlib.metadata
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

project = "contextual-jax"
author = "The contextual-jax authors"
release = importlib.metadata.version(project)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "contextual-jax"

# Pages are Markdown that GitHub shows as well; headings are link targets in both.
myst_heading_anchors = 3
# Decisions and results are reached by links in their README; tests/end_to_end/
# test_readme.py holds that every page is.
suppress_warnings = ["toc.not_included"]

# In docstrings `name` is code.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_include_init_with_doc = True

SHORT_FORMS = {
    "jaxlib._jax.Array": "Array",
    "<class 'jax.numpy.float32'>": "jnp.float32",
}


def setup(app: Sphinx) -> None:
    """Register what this page of settings adds to Sphinx."""
    app.connect("autodoc-process-signature", shorten)
    app.connect("env-check-consistency", check_complete)


def shorten(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Write JAX's classes as users write them."""
    del app, what, name, obj, options
    for shown, written in SHORT_FORMS.items():
        signature = signature and signature.replace(shown, written)
        returns = returns and returns.replace(shown, written)
    return signature, returns


def check_complete(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of public names that the reference lacks: autodoc skips them in silence."""
    del app
    described = env.domains["py"].data["objects"]
    for package in ("embed_jax", "bert_jax", "elmo_jax"):
        for name in getattr(importlib.import_module(package), "__all__", ()):
            if f"{package}.{name}" not in described:
                logging.getLogger(__name__).warning(
                    "%s.%s is public and not in docs/api", package, name
                )
