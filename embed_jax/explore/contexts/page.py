# SPDX-License-Identifier: Apache-2.0
"""A self-contained HTML page that shows the contexts of a word.

Text goes into the page as JSON and from there into text nodes, never into markup. A
content security policy allows only the page's own script and style, by their hashes,
and no loading of anything.
"""

import base64
import dataclasses
import hashlib
import html
import importlib.resources
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from embed_jax.explore.contexts.clustering import Clusters
from embed_jax.explore.contexts.embedding import EmbeddedContexts
from embed_jax.explore.contexts.neighbours import Neighbours
from embed_jax.files.json_file import json_text
from embed_jax.files.kinds import FileKind, holding

# Contexts are counted in 16 bits.
MOST_CONTEXTS = 2**16 - 1
STEPS = 2**15 - 1


@dataclasses.dataclass(frozen=True)
class Caption:
    """The text of the page's heading.

    Attributes:
      word: the word.
      model: name of the model.
      corpus: name of the text file.
      sampling: a sentence about the choice of the contexts.
      layers: the layers that were clustered.
    """

    word: str
    model: str
    corpus: str
    sampling: str
    layers: str


PAGE = FileKind("a page of contexts", holding('content="embed_jax.contexts"'))
"""What `page.html` begins with."""


def write_page(
    caption: Caption,
    embedded: EmbeddedContexts,
    places: Float[np.ndarray, "V N 2"],
    neighbours: Sequence[Neighbours],
    clusters: Clusters,
    words: Sequence[Sequence[str]],
) -> str:
    """Write the page.

    Args:
      caption: the heading.
      embedded: the contexts.
      places: coordinates of the contexts, then of the query if any, in each view.
      neighbours: in each view, of the same points.
      clusters: of the contexts.
      words: the distinctive words of each cluster.

    Returns:
      The HTML, to be written as UTF-8.

    Raises:
      ValueError: too many contexts for a page.
    """
    if len(embedded.contexts) > MOST_CONTEXTS:
        raise ValueError(f"a page holds {MOST_CONTEXTS:,} contexts at most")
    data = {
        **dataclasses.asdict(caption),
        "silhouette": round(clusters.silhouette, 3),
        "clusters": [list(each) for each in words],
        "line": [context.line for context in embedded.contexts],
        "before": [context.before for context in embedded.contexts],
        "text": [context.word for context in embedded.contexts],
        "after": [context.after for context in embedded.contexts],
        "cluster": clusters.labels.tolist(),
        "query": embedded.query and list(embedded.query[1:]),
        "chosen": embedded.chosen,
        "views": [
            _encode_view(view.name, place, near)
            for view, place, near in zip(
                embedded.views, places, neighbours, strict=True
            )
        ],
    }
    style, script = _read("page.css"), _read("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(f"{caption.word} in {caption.corpus}"),
        "style": style,
        "data": _script_json(data),
        "script": script,
    }
    page = _read("page.html")
    # Each mark stands once, and in an order that no filled-in text can disturb.
    filled = []
    for name, part in parts.items():
        head, _, page = page.partition(f"{{{{{name}}}}}")
        filled += [head, part]
    return "".join([*filled, page])


def _encode_view(
    name: str, places: Float[np.ndarray, "N 2"], near: Neighbours
) -> dict[str, Any]:
    """Encode a view's numbers compactly: integers, little-endian, in base 64.

    Coordinates are in units of 1/32,767 of the largest; cosines are in hundredths.
    """
    widest = np.abs(places).max(initial=0)
    steps = np.round(places / (widest if widest > 0 else 1) * STEPS)
    return {
        "name": name,
        "places": _base64(steps.astype("<i2")),
        "width": near.indices.shape[1],
        "near": _base64(near.indices.astype("<u2")),
        "cosines": _base64(np.round(near.cosines * 100).astype("i1")),
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _script_json(data: Any) -> str:
    """Return JSON that is safe inside a `<script>` element: no `<` is left in it."""
    text = json_text(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _read(name: str) -> str:
    return (
        importlib.resources.files("embed_jax.explore.contexts")
        .joinpath(name)
        .read_text("utf-8")
    )
