"""The page in a real browser, over a real server and an index of the sample photographs."""

import base64
import re
import shutil
from functools import partial

import pytest
from starlette.testclient import TestClient

from lookalike.adapters.source_table import TableSource
from lookalike.server.app import create_app
from tests.integration.served import SmallWeb, listening, open_toy

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(180)]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def site(tmp_path_factory, samples):
    """The address of a server over the samples, with one image of a hostile title."""
    root = tmp_path_factory.mktemp("page")
    with open_toy(root, count=0) as engine:
        engine.index([TableSource(samples / "samples.jsonl")])
        web = SmallWeb({"https://example.org/a.jpg": next_sample(samples).read_bytes()})
        app = create_app(engine, fetcher=web)
        client = TestClient(app, base_url="http://localhost")
        with (samples / "images" / "big-ben.jpg").open("rb") as file:
            shutil.copyfileobj(file, copy := (root / "copy.jpg").open("wb"))
        copy.write(b"\0")  # other bytes, the same picture
        copy.close()
        data = (root / "copy.jpg").read_bytes()
        said = {
            "title": HOSTILE,
            "caption": f"hostile {HOSTILE}",
            "page_url": "javascript:alert(1)",
        }
        added = client.post("/v1/images", files={"file": ("c.jpg", data)}, data=said)
        assert added.status_code == 202, added.text
        with listening(engine, web) as address:
            yield address


def next_sample(samples):
    return sorted((samples / "images").glob("*.jpg"))[0]


@pytest.fixture
def open_page(visit, site):
    """Open the page at an address of the site."""
    return partial(visit, site)


def ask(page, words):
    page.fill("#words", words)
    page.press("#words", "Enter")
    page.wait_for_selector("body[data-mode='results'] #results[aria-busy='false']")


def tiles(page):
    return page.locator(".tile").count()


def drop(page, data):
    page.evaluate(
        """text => {
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "query.jpg", {type: "image/jpeg"}));
            for (const type of ["dragenter", "dragover", "drop"])
                document.dispatchEvent(
                    new DragEvent(type, {dataTransfer: transfer, bubbles: true}));
        }""",
        base64.b64encode(data).decode(),
    )
    page.wait_for_selector("#asked .asked-image")
    page.wait_for_selector("#results[aria-busy='false'] .tile")


def crop(page, begin, end):
    box = page.locator(".crop").bounding_box()
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (begin, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=6)
    page.mouse.up()


def test_the_start_page_shows_the_newest_and_scrolls_for_more(open_page):
    page = open_page()
    page.wait_for_selector(".tile img.is-there")
    assert page.inner_text("#grid-title") == "Newest pictures"
    first = tiles(page)
    assert first >= 40
    for _ in range(12):
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(120)
        if tiles(page) > 110:
            break
    assert tiles(page) > 110
    ids = page.eval_on_selector_all(".tile-link", "links => links.map(one => one.dataset.id)")
    assert len(ids) == len(set(ids))


def test_words_find_and_the_address_holds_them(open_page):
    page = open_page()
    ask(page, "tower")
    assert "q=tower" in page.url
    labels = page.eval_on_selector_all(".tile-link", "all => all.map(one => one.ariaLabel)")
    assert any("Tower" in label for label in labels[:5])
    page.wait_for_function("/\\d+ pictures/.test(document.querySelector('#count').textContent)")
    ask(page, "flower")
    page.go_back()
    page.wait_for_function("document.querySelector('#words').value === 'tower'")
    page.go_forward()
    page.wait_for_function("document.querySelector('#words').value === 'flower'")


def test_typing_completes_with_words_of_the_index(open_page):
    page = open_page()
    page.click("#words")
    page.type("#words", "tow", delay=30)
    page.wait_for_selector("#suggestions li")
    assert page.get_attribute("#words", "aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    chosen = page.inner_text("#suggestions li[aria-selected='true']")
    assert page.get_attribute("#words", "aria-activedescendant") == "suggestion-0"
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-mode='results']")
    assert page.input_value("#words") == chosen
    assert page.is_hidden("#suggestions")


def test_a_filter_chip_writes_the_query_and_the_query_lights_the_chip(open_page):
    page = open_page("/?q=flower")
    page.click("[data-filter='color']")
    page.click(".swatch[data-color='yellow']")
    page.wait_for_function("document.querySelector('#words').value === 'flower color:yellow'")
    assert "color%3Ayellow" in page.url
    assert page.get_attribute("[data-filter='color']", "aria-pressed") == "true"
    page.click("[data-filter='aspect']")
    page.click(".menu-item:has-text('Wide')")
    page.wait_for_function("document.querySelector('#words').value.endsWith('aspect:wide')")
    page.wait_for_selector("#results[aria-busy='false']")
    for label in page.eval_on_selector_all(".tile-link", "all => all.map(one => one.ariaLabel)"):
        width, height = map(int, re.search(r"(\d+) by (\d+)", label).groups())
        assert width > height
    page.click("[aria-label='Remove the filter Colour']")
    page.wait_for_function("document.querySelector('#words').value === 'flower aspect:wide'")


def test_a_dropped_picture_is_searched_cropped_and_steered(open_page, samples):
    page = open_page()
    drop(page, (samples / "images" / "big-ben.jpg").read_bytes())
    assert "img=upload-" in page.url
    assert "Big Ben" in page.locator(".tile-link").first.get_attribute("aria-label")
    tabs = ["All", "Copies", "Similar", "Objects", "Text"]
    assert page.locator(".tab").all_inner_texts() == tabs
    page.click(".tab[data-tab='copies']")
    page.wait_for_selector("#results[aria-busy='false']")
    assert 1 <= tiles(page) <= 2
    page.click(".tab[data-tab='similar']")
    page.wait_for_selector("#results[aria-busy='false']")
    labels = page.eval_on_selector_all(".tile-link", "all => all.map(one => one.ariaLabel)")
    assert not any("copy" in label.split(",") for label in labels)
    crop(page, (0.2, 0.2), (0.7, 0.8))
    page.wait_for_url(re.compile(r"region=0\.(19|20)"))
    assert "marked part" in page.inner_text("#asked")
    page.reload()
    page.wait_for_selector("#asked .crop-box:not([hidden])")
    page.click("#asked >> text=Whole picture")
    page.wait_for_function("!location.search.includes('region')")
    ask(page, "clouds")
    assert "img=upload-" in page.url
    page.click(".pin-remove")
    page.wait_for_function("!location.search.includes('img=')")
    assert page.is_hidden("#asked")


def test_an_address_is_fetched_by_the_server_and_can_be_cropped(open_page):
    page = open_page()
    page.fill("#words", "https://example.org/a.jpg")
    page.press("#words", "Enter")
    page.wait_for_selector("#asked .asked-image")
    page.wait_for_selector("#results[aria-busy='false'] .tile")
    assert (
        page.evaluate("new URLSearchParams(location.search).get('img')")
        == "https://example.org/a.jpg"
    )
    crop(page, (0.1, 0.1), (0.6, 0.6))
    page.wait_for_url(re.compile("region="))


def test_the_panel_tells_steps_and_gives_the_focus_back(open_page):
    page = open_page("/?q=tower")
    page.wait_for_selector(".tile")
    page.locator(".tile-link").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel dl")
    assert "open=" in page.url
    for said in ("Why it matched", "Details", "Source", "Licence"):
        assert said in page.inner_text("#panel")
    second = page.inner_text(".panel-title")
    page.click("[aria-label='Previous picture']")
    page.wait_for_function(
        "t => document.querySelector('.panel-title').textContent !== t", arg=second
    )
    page.keyboard.press("Escape")
    assert page.is_hidden("#panel")
    assert page.evaluate("document.activeElement.className") == "tile-link"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "words"
    page.locator(".tile-link").first.click()
    page.click("text=Find similar")
    page.wait_for_selector("#asked .asked-image")
    assert re.search(r"img=[0-9a-f]{32}", page.url)


def test_arrows_walk_the_grid_by_place(open_page):
    page = open_page()
    page.wait_for_selector(".tile")
    links = page.locator(".tile-link")
    links.first.focus()
    top = links.first.bounding_box()
    page.keyboard.press("ArrowDown")
    below = page.evaluate_handle("document.activeElement").as_element().bounding_box()
    assert below["y"] >= top["y"] + top["height"]
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement === document.querySelector('.tile-link')")
    assert page.locator(".tile-link[tabindex='0']").count() == 1


def test_hostile_titles_stay_words(open_page):
    page = open_page("/?q=hostile")
    page.wait_for_selector(".tile")
    page.locator(".tile-link").first.click()
    page.wait_for_selector(".panel dl")
    assert "<script>" in page.inner_text(".panel-title")
    assert page.title() == "hostile – Lookalike"
    assert page.locator("#panel a[href^='javascript']").count() == 0
    page.goto(page.url.split("?")[0] + "?q=" + "%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    page.wait_for_selector("#results[aria-busy='false']")
    assert page.locator("img[src='x']").count() == 0


def test_nothing_found_and_errors_are_said_with_a_way_on(open_page):
    page = open_page("/?q=flower+min")
    ask(page, "flower width:>99999")
    page.wait_for_selector("#empty h2")
    assert page.inner_text("#empty h2") == "No match"
    page.goto(page.url.split("?")[0] + "?q=type%3Afoto")
    page.wait_for_selector("#empty h2")
    assert "photo" in page.inner_text("#empty")
    page.goto(page.url.split("?")[0] + "?img=upload-gone")
    page.wait_for_selector("#empty h2")
    assert "no longer has the picture" in page.inner_text("#empty h2")
    page.click("text=Remove the picture")
    page.wait_for_selector(".tile")


def test_rows_fill_the_width_and_nothing_shifts(open_page):
    page = open_page()
    page.wait_for_selector(".tile")
    before = page.eval_on_selector_all(".tile", "all => all.map(one => one.style.transform)")
    page.wait_for_selector(".tile img.is-there")
    page.wait_for_timeout(400)
    after = page.eval_on_selector_all(".tile", "all => all.map(one => one.style.transform)")
    assert after[: len(before)] == before
    width = page.evaluate("document.querySelector('#grid').clientWidth")
    ends = {}
    for tile in page.query_selector_all(".tile")[:20]:
        box = tile.bounding_box()
        ends[round(box["y"])] = max(ends.get(round(box["y"]), 0), box["x"] + box["width"])
    left = page.locator("#grid").bounding_box()["x"]
    assert all(abs(end - left - width) <= 1.5 for end in list(ends.values())[:-1])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_are_readable(open_page, scheme):
    page = open_page("/?q=tower", color_scheme=scheme)
    page.wait_for_selector(".tile")
    page.locator(".tile-link").first.click()
    page.wait_for_selector(".panel dl")
    ground = luminance(page, "document.documentElement", "backgroundColor")
    assert (ground < 0.1) == (scheme == "dark")
    for place in ("#count", ".panel-title", ".panel-section h3", ".panel dt", ".chip"):
        ink = luminance(page, f"document.querySelector('{place}')", "color")
        light, dark = max(ink, ground), min(ink, ground)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, place


def luminance(page, element, name):
    colour = page.evaluate(f"getComputedStyle({element}).{name}")
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_fits_a_phone(open_page, samples):
    page = open_page("/", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    drop(page, (samples / "images" / "big-ben.jpg").read_bytes())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".tile-link").first.tap()
    page.wait_for_selector(".panel dl")
    box = page.locator("#panel").bounding_box()
    assert (box["x"], box["width"]) == (0, 390)
    page.tap("[aria-label='Close the panel']")
    assert page.is_hidden("#panel")


def test_a_key_is_asked_for_and_then_pictures_show(browser, tmp_path):
    with open_toy(tmp_path, count=8) as engine:
        with listening(engine, SmallWeb(), api_keys=("open-sesame",)) as address:
            context = browser.new_context()
            page = context.new_page()
            page.goto(address)
            page.fill("#key-value", "open-sesame")
            page.press("#key-value", "Enter")
            page.wait_for_selector(".tile img.is-there")
            context.close()


def test_an_empty_index_says_how_to_fill_it(visit, tmp_path):
    with open_toy(tmp_path, count=0) as engine:
        with listening(engine, SmallWeb()) as address:
            page = visit(address)
            page.wait_for_selector("#empty h2")
            assert "lookalike index" in page.inner_text("#empty")
            page.close()


def test_filters_and_past_searches_are_completed_and_past_ones_forgotten(open_page):
    page = open_page()
    ask(page, "tower at night")
    page.fill("#words", "")
    page.type("#words", "tow", delay=20)
    page.wait_for_selector("#suggestions li[data-kind='past']")
    assert "tower at night" in page.inner_text("#suggestions li[data-kind='past']")
    page.get_by_text("Stop remembering").click()
    page.wait_for_selector("#suggestions-note >> text=not remembered")
    assert page.evaluate("localStorage.getItem('lookalike.past')") is None
    page.fill("#words", "")
    page.type("#words", "tower colo", delay=20)
    page.wait_for_selector("#suggestions li[data-kind='filter']")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    assert page.input_value("#words") == "tower color:"
    page.wait_for_selector("#suggestions li[data-kind='value']")
    page.keyboard.press("Escape")
    assert page.is_hidden("#suggestions")


def test_a_misspelt_word_is_corrected_with_a_way_back(open_page):
    page = open_page()
    ask(page, "moutain")
    page.wait_for_selector("#wording:not([hidden])")
    assert "Showing results for" in page.inner_text("#wording")
    page.click("#as-typed")
    page.wait_for_function("location.search.includes('typed=1')")
    page.wait_for_selector("#wording[hidden]", state="attached")
    page.reload()
    page.wait_for_selector("body[data-mode='results'] #results[aria-busy='false']")
    assert page.is_hidden("#wording")
