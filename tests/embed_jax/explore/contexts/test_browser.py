# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, without a network: what a reader does, and sees."""

import functools
import json
import re
import shutil

import numpy as np
import pytest

from embed_jax.explore.contexts.clustering import Clusters
from embed_jax.explore.contexts.embedding import EmbeddedContexts, View
from embed_jax.explore.contexts.layout import lay_out
from embed_jax.explore.contexts.neighbours import find_neighbours
from embed_jax.explore.contexts.occurrences import Context
from embed_jax.explore.contexts.page import Caption, write_page
from embed_jax.layers.unit_vectors import unit_vectors

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the page is driven by playwright: pip install it"
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TEXTS = [
    ("We sat on the ", " of the river."),
    ("The ", " lends money."),
    ("</script><img src=x onerror=\"document.title='broken'\">", "<b>bold</b> &lt;"),
    ("a river ", ""),
    ("a savings ", " in town"),
    ("", " holiday"),
]
LABELS = np.array([0, 1, 1, 0, 1, 1])


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def build_page(texts, labels, *, num_layers=3, query=True, same_first=False):
    number = len(texts)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(num_layers, number + query, 6)).astype(np.float32)
    if same_first:
        vectors[0] = 1
    views = [View(f"layer {layer}", each) for layer, each in enumerate(vectors)]
    embedded = EmbeddedContexts(
        contexts=[Context(10 + i, *each) for i, each in enumerate(
            (before, "bank", after) for before, after in texts
        )],
        query=Context(0, "by the ", "bank", " & <i>river</i>") if query else None,
        views=views,
        chosen=num_layers - 1,
    )  # fmt: skip
    units = [unit_vectors(each) for each in vectors]
    return write_page(
        Caption("bank", "a model", "corpus.txt", f"{number} contexts", "layer 2"),
        embedded,
        lay_out(units, number, num_layers - 1),
        [find_neighbours(unit, number, 3) for unit in units],
        Clusters(labels, np.zeros(number), 0.5),
        [["river", "<u>sat</u>"], ["money"]],
    )


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens HTML from a file; at the end nothing may have gone wrong or been asked."""
    contexts, problems = [], []

    def open_page(html, **options):
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                problems.append(request.url) if request.url != path.as_uri() else None
            ),
        )
        page.goto(path.as_uri())
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@functools.cache
def small_page(**options):
    return build_page(TEXTS, LABELS, **options)


def settle(page):
    """Wait until nothing moves and it has been drawn."""
    page.evaluate(
        """async () => {
          do await new Promise(r => requestAnimationFrame(() => setTimeout(r)));
          while (contexts.isMoving());
        }"""
    )


def place(page, index):
    return page.evaluate(f"contexts.place({index})")


def tooltip(page):
    return page.locator("#tooltip")


def whole(index):
    before, after = TEXTS[index]
    return f"{before}bank{after}"


def picture(page):
    return page.evaluate("document.getElementById('canvas').toDataURL()")


def test_hovering_shows_the_sentence_with_the_word_marked(open_page):
    page = open_page(small_page())
    assert not tooltip(page).is_visible()
    for index in range(6):
        page.mouse.move(*place(page, index))
        settle(page)
        assert tooltip(page).locator("span").text_content() == whole(index)
        assert tooltip(page).locator("mark").text_content() == "bank"
        assert f"line {10 + index}" in tooltip(page).inner_text()
        assert f"cluster {LABELS[index] + 1}" in tooltip(page).inner_text()
    page.mouse.move(2, 2)
    settle(page)
    assert not tooltip(page).is_visible()


def test_hostile_text_stays_text(open_page):
    page = open_page(small_page())
    page.mouse.click(*place(page, 2))
    settle(page)
    for element in ("#tooltip span", "#selected-text span"):
        assert page.locator(element).text_content() == whole(2)
    assert page.locator("#clusters button").first.inner_text().startswith("1")
    assert "<u>sat</u>" in page.locator("#clusters").inner_text()
    assert page.locator("img, b:not(#clusters b), u, i:not(.dot)").count() == 0
    assert page.title() == "bank in corpus.txt"


def test_the_slider_moves_the_points_and_names_the_layer(open_page):
    page = open_page(small_page(same_first=True))
    layer, slider = page.locator("#layer"), page.locator("#slider")
    assert layer.inner_text() == "2 of 2, the last"
    before, drawn = place(page, 0), picture(page)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert layer.inner_text() == "1 of 2"
    assert slider.get_attribute("aria-valuetext") == "1 of 2"
    assert place(page, 0) != before
    assert picture(page) != drawn
    assert page.locator("#nearest-title").inner_text() == "Nearest at layer 1"
    page.keyboard.press("Home")
    settle(page)
    assert layer.inner_text() == "0 of 2, without context"
    assert page.locator("#flat").is_visible()
    assert place(page, 0) == place(page, 1)
    slider.fill("2")
    settle(page)
    assert place(page, 0) == before
    assert picture(page) == drawn
    assert not page.locator("#flat").is_visible()


@pytest.mark.parametrize(
    ("wish", "moves"), [("no-preference", True), ("reduce", False)]
)
def test_who_wants_no_motion_sees_none(open_page, wish, moves):
    page = open_page(small_page(), reduced_motion=wish)
    moved = page.evaluate(
        """() => {
          const slider = document.getElementById("slider");
          slider.value = 1;
          slider.dispatchEvent(new Event("input"));
          return contexts.isMoving();
        }"""
    )
    assert moved is moves
    settle(page)


def test_the_query_lists_its_nearest_contexts_at_the_layer(open_page):
    html = small_page()
    found = re.search(r'<script id="data".*?>(.*?)</script>', html, re.DOTALL)
    assert found is not None
    assert json.loads(found[1])["query"][1] == "bank"
    page = open_page(html)
    assert page.locator("#selected-title").inner_text() == "Your query"
    text = page.locator("#selected-text").text_content()
    assert text == "by the bank & <i>river</i>"
    units = [
        unit_vectors(each)
        for each in np.random.default_rng(0).normal(size=(3, 7, 6)).astype(np.float32)
    ]
    for layer in (2, 1):
        page.locator("#slider").fill(str(layer))
        cosines = units[layer][:6] @ units[layer][6]
        order = np.argsort(-cosines)[:3]
        listed = page.locator("#nearest li")
        assert listed.count() == 3
        for row, index in enumerate(order):
            assert listed.nth(row).locator("span span").text_content() == whole(index)
            assert f"{cosines[index]:.2f} · line" in listed.nth(row).inner_text()


def test_the_keyboard_alone_reads_and_selects(open_page):
    page = open_page(small_page())
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert tooltip(page).locator("small").inner_text() == "your query"
    seen = set()
    for key in ["ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"] * 3:
        page.keyboard.press(key)
        settle(page)
        seen.add(tooltip(page).locator("span").text_content())
    assert len(seen) > 2
    last = tooltip(page).locator("span").text_content()
    page.keyboard.press("Enter")
    assert page.locator("#selected-text").text_content() == last
    page.keyboard.press("Escape")
    settle(page)
    assert not tooltip(page).is_visible()
    assert page.locator("#selected-title").inner_text() == "Your query"


def test_the_list_is_reached_by_tab_and_points_at_the_map(open_page):
    page = open_page(small_page())
    page.locator("#contexts button").nth(4).focus()
    settle(page)
    assert tooltip(page).locator("span").text_content() == whole(4)
    page.keyboard.press("Enter")
    assert page.locator("#selected-text").text_content() == whole(4)
    assert page.locator("#release").inner_text() == "Back to the query"
    page.locator("#release").click()
    assert page.locator("#selected-title").inner_text() == "Your query"


def test_the_filter_hides_what_does_not_contain_it(open_page):
    page = open_page(small_page())
    page.locator("#filter").fill("RIVER")
    settle(page)
    assert page.locator("#shown").inner_text() == "2 of 6 contexts"
    assert page.locator("#contexts li").count() == 2
    shown = [page.evaluate(f"contexts.isVisible({index})") for index in range(6)]
    assert shown == [True, False, False, True, False, False]
    page.mouse.move(*place(page, 1))
    settle(page)
    assert not tooltip(page).is_visible() or whole(1) not in tooltip(page).inner_text()
    page.locator("#filter").fill("")
    assert page.locator("#shown").inner_text() == "6 contexts"


def test_clusters_are_switched_off_and_on(open_page):
    page = open_page(small_page())
    button = page.locator("#clusters button").nth(1)
    drawn = picture(page)
    button.click()
    settle(page)
    assert button.get_attribute("aria-pressed") == "false"
    assert page.locator("#shown").inner_text() == "2 of 6 contexts"
    assert picture(page) != drawn
    page.locator("#filter").fill("sat on")
    assert page.locator("#shown").inner_text() == "1 of 6 contexts"
    page.locator("#filter").fill("")
    button.click()
    settle(page)
    assert page.locator("#shown").inner_text() == "6 contexts"
    assert picture(page) == drawn


def test_without_a_query_nothing_is_selected_until_a_click(open_page):
    page = open_page(small_page(query=False))
    assert not page.locator("#selected").is_visible()
    page.mouse.click(*place(page, 3))
    assert page.locator("#selected-text").text_content() == whole(3)
    page.locator("#release").click()
    assert not page.locator("#selected").is_visible()


def test_a_phone_shows_all_of_it_and_a_tap_reads(open_page):
    page = open_page(
        small_page(), viewport={"width": 360, "height": 740}, has_touch=True
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.touchscreen.tap(*place(page, 0))
    settle(page)
    assert tooltip(page).locator("span").text_content() == whole(0)
    assert page.locator("#selected-text").text_content() == whole(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(open_page, scheme):
    page = open_page(small_page(), color_scheme=scheme)
    contrast = """selector => {
      const node = document.querySelector(selector);
      const light = colour => {
        const [r, g, b] = colour.match(/[0-9.]+/g).map(v => {
          v /= 255;
          return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      let ground = node;
      while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)")
        ground = ground.parentElement;
      const [a, b] = [getComputedStyle(node).color,
        getComputedStyle(ground).backgroundColor].map(light);
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }"""
    for selector in ("h1", "#caption", "#layer", "#contexts small", "mark", "footer p"):
        assert page.evaluate(contrast, selector) > 4.5, selector


def test_thousands_of_contexts_move_fluidly(open_page):
    number = 5000
    texts = [(f"sentence {index} of the ", " and more") for index in range(number)]
    page = open_page(build_page(texts, np.arange(number) % 2, num_layers=4))
    page.locator("#slider").fill("0")
    # Without a graphics card one core draws all, on a machine that may be busy: two
    # frames of a motion are few, but a page that hangs has none.
    frames = page.evaluate(
        """async () => {
          let count = 0;
          while (contexts.isMoving()) {
            await new Promise(requestAnimationFrame);
            count += 1;
          }
          return count;
        }"""
    )
    assert frames >= 2
    settle(page)
    page.locator("#filter").fill("4999")
    assert page.locator("#shown").inner_text() == "1 of 5,000 contexts"
