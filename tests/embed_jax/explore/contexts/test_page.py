# SPDX-License-Identifier: Apache-2.0
"""What goes into a page comes out of it, and nothing of it is ever markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from embed_jax.explore.contexts.clustering import find_clusters
from embed_jax.explore.contexts.embedding import EmbeddedContexts, View
from embed_jax.explore.contexts.layout import lay_out
from embed_jax.explore.contexts.neighbours import find_neighbours
from embed_jax.explore.contexts.occurrences import Context
from embed_jax.explore.contexts.page import Caption, write_page
from embed_jax.layers.unit_vectors import unit_vectors

HOSTILE = [
    "</script><script>document.title='broken'</script>",
    "<img src=x onerror=\"document.title='broken'\">",
    "<!-- <script> &lt;b&gt; {{script}} {{data}} ]]>",
    "caf\u00e9 \u2028 \U0001f600 \u202e \x00 \\u003c ${1} `",
]


class Elements(HTMLParser):
    """Collects tags, attributes, and the text of each element by its id or tag."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._open = dict(attrs).get("id", tag)

    def handle_data(self, data):
        self.texts[self._open] = self.texts.get(self._open, "") + data


def make_page(texts=HOSTILE, *, query=True, num_views=3, caption=None):
    number = len(texts)
    rng = np.random.default_rng(0)
    views = [
        View(f"layer {layer}", rng.normal(size=(number + query, 8)).astype(np.float32))
        for layer in range(num_views)
    ]
    embedded = EmbeddedContexts(
        contexts=[Context(i + 1, text, "bank", text) for i, text in enumerate(texts)],
        query=Context(0, "the ", "bank", HOSTILE[0]) if query else None,
        views=views,
        chosen=1,
    )
    units = [unit_vectors(view.vectors) for view in views]
    places = lay_out(units, number, 1)
    neighbours = [find_neighbours(unit, number, 2) for unit in units]
    clusters = find_clusters(units[1][:number], 2)
    words = [["<b>river</b>"], []]
    caption = caption or Caption("bank", "model", "corpus.txt", "4 contexts", "layer 1")
    page = write_page(caption, embedded, places, neighbours, clusters, words)
    return page, places, neighbours, clusters


def decode(text, dtype, width):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(-1, width)


@pytest.mark.parametrize("query", [True, False])
def test_the_page_holds_what_it_was_given(query):
    page, places, neighbours, clusters = make_page(query=query)
    data = json.loads(Elements(page).texts["data"])
    assert data["before"] == data["after"] == HOSTILE
    assert data["text"] == ["bank"] * 4
    assert data["line"] == [1, 2, 3, 4]
    assert data["cluster"] == clusters.labels.tolist()
    assert data["query"] == (["the ", "bank", HOSTILE[0]] if query else None)
    assert data["chosen"] == 1
    for view, place, near in zip(data["views"], places, neighbours, strict=True):
        found = decode(view["places"], "<i2", 2) / 32767 * np.abs(place).max()
        np.testing.assert_allclose(found, place, atol=np.abs(place).max() / 65000)
        indices = decode(view["near"], "<u2", view["width"])
        np.testing.assert_array_equal(indices, near.indices)
        cosines = decode(view["cosines"], "i1", view["width"]) / 100
        np.testing.assert_allclose(cosines, near.cosines, atol=0.00501)


def test_text_does_not_become_elements():
    hostile, *_ = make_page(
        caption=Caption(HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[3], HOSTILE[0])
    )
    harmless, *_ = make_page(["a", "b", "c", "d"])
    assert Elements(hostile).tags == Elements(harmless).tags
    assert Elements(hostile).tags.count("script") == 2
    assert HOSTILE[0] in Elements(hostile).texts["title"]


def test_only_the_pages_own_script_and_style_may_run():
    page, *_ = make_page()
    elements = Elements(page)
    policy = next(v for k, v in elements.attributes if k == "content" and "src" in v)
    for directive, text in [
        ("style-src", re.search(r"<style>(.*?)</style>", page, re.DOTALL)),
        ("script-src", re.search(r"<script>(.*?)</script>", page, re.DOTALL)),
    ]:
        assert text is not None
        digest = base64.b64encode(hashlib.sha256(text[1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert not [k for k, _ in elements.attributes if k in ("src", "href", "style")]
    assert not re.search(r"https?:|url\(|@import", page)


def test_the_same_contexts_make_the_same_page():
    assert make_page()[0] == make_page()[0]


def test_more_contexts_than_fit_are_refused(monkeypatch):
    monkeypatch.setattr("embed_jax.explore.contexts.page.MOST_CONTEXTS", 3)
    with pytest.raises(ValueError, match="3 contexts at most"):
        make_page()
