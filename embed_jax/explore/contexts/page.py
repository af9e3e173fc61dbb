# SPDX-License-Identifier: Apache-2.0
"""One HTML file that shows the contexts of a word and needs nothing else.

Text goes into the page as JSON and from there into text nodes, never into markup. A
content security policy lets run only the page's own script and style, by their hashes,
and forbids to load anything.
"""

import base64
import dataclasses
import hashlib
import html
import importlib.resources
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from embed_jax.explore.contexts.clustering import Clusters
from embed_jax.explore.contexts.embedding import EmbeddedContexts
from embed_jax.explore.contexts.neighbours import Neighbours

# Contexts are counted in 16 bits.
MOST_CONTEXTS = 2**16 - 1
STEPS = 2**15 - 1


@dataclasses.dataclass(frozen=True)
class Caption:
    """What the page says about itself.

    Attributes:
      word: that was looked for.
      model: its name.
      corpus: the file's name.
      sampling: how the contexts were chosen, a sentence.
      layers: by which clusters were made.
    """

    word: str
    model: str
    corpus: str
    sampling: str
    layers: str


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
      caption: what it says.
      embedded: the contexts.
      places: of the contexts in each view, then of the query where there is one.
      neighbours: in each view of the same points.
      clusters: of the contexts.
      words: for each cluster those that tell it from the others.

    Returns:
      The HTML, to be written as UTF-8.

    Raises:
      ValueError: more contexts than a page holds.
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
    """Write a view's numbers compactly: integers, little-endian, in base 64.

    Places keep 1/32,767 of the widest; cosines are hundredths, rounded.
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
    """Write JSON that no HTML parser takes for the end of the script or for a tag."""
    text = json.dumps(data, separators=(",", ":"))
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
