"""What is in pictures, on the page: boxes, objects, words, copies, and how words were read."""

import base64
import re
from functools import partial

import pytest

from lookalike.adapters.source_folder import FolderSource
from tests.integration.served import SmallWeb, draw_seen, edited, listening, open_toy
from tests.photographs import sample

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(180)]

ORIGINAL, OTHER = "coco-041888.jpg", "taj-mahal.jpg"


@pytest.fixture(scope="module")
def edits():
    return edited(ORIGINAL) | {"other": sample(OTHER)}


@pytest.fixture(scope="module")
def site(tmp_path_factory, edits):
    root = tmp_path_factory.mktemp("seen")
    folder = draw_seen(root / "drawn")
    for name in ("original", "small", "other"):
        (folder / f"{name}.jpg").write_bytes(edits[name])
    with open_toy(root, count=0, is_seeing=True) as engine:
        engine.index([FolderSource(folder)])
        with listening(engine, SmallWeb()) as address:
            yield address


@pytest.fixture
def open_page(visit, site):
    def opened(path="/", **options):
        page = partial(visit, site)(path, **options)
        settled(page)
        return page

    return opened


def settled(page):
    page.wait_for_selector("#results[aria-busy='false']")


def tab(page, name):
    page.click(f".tab[data-tab='{name}']")
    page.wait_for_selector(f".tab[data-tab='{name}'][aria-selected='true']")
    settled(page)


def labels(page):
    return page.eval_on_selector_all(".tile-link", "all => all.map(one => one.ariaLabel)")


def drop(page, data):
    page.evaluate(
        """text => {
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "query.jpg", {type: "image/jpeg"}));
            document.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
        }""",
        base64.b64encode(data).decode(),
    )
    page.wait_for_selector("#asked .asked-image")
    settled(page)


def test_words_read_as_conditions_are_said_and_can_be_searched_instead(open_page):
    page = open_page("/?q=two+dogs")
    banner = page.locator("#reading")
    assert "dog ≥ 2" in banner.inner_text()
    first = labels(page)[:2]
    assert all("blue" in one and "with dog and dog" in one for one in first)
    assert "Not known to hold dog ≥ 2" in page.inner_text(".weak")
    banner.get_by_role("button").click()
    page.wait_for_function("() => document.querySelector('#words').value === '1:\"two dogs\"'")
    settled(page)
    assert page.is_hidden("#reading")


def test_boxes_lie_where_the_objects_are(open_page):
    page = open_page("/?q=has:car")
    page.wait_for_selector(".tile img.is-there")
    tile = page.locator(".tile-link").first.bounding_box()
    box = page.locator(".tile").first.locator(".seen-box").first.bounding_box()
    assert box["x"] + box["width"] == pytest.approx(tile["x"] + tile["width"], abs=2)
    assert box["width"] == pytest.approx(tile["width"] / 2, abs=2)
    assert box["height"] == pytest.approx(tile["height"] / 2, abs=2)
    assert "with car" in labels(page)[0]


def test_the_panel_shows_objects_that_one_can_search_for(open_page):
    page = open_page("/?q=has:car")
    page.locator(".tile-link").first.click()
    page.wait_for_selector(".panel .seen-names")
    assert page.locator(".seen-names .seen-name").all_inner_texts() == ["dog", "car"]
    picture = page.locator(".panel-image").bounding_box()
    box = page.locator(".panel .of-objects .seen-box[title*='car']")
    assert box.bounding_box()["x"] == pytest.approx(picture["x"] + picture["width"] / 2, abs=2)
    page.get_by_role("button", name=re.compile("Search for this: car")).focus()
    assert "is-lit" in box.get_attribute("class")
    switch = page.locator(".switch").first
    assert switch.get_attribute("aria-pressed") == "true"
    switch.click()
    assert page.locator(".of-objects.is-off").count() == 1
    page.get_by_role("button", name=re.compile("Search for this: car")).press("Enter")
    page.wait_for_url(re.compile(r"img=[0-9a-f]{32}&region=0\.5000%2C0\.0000%2C0\.5000%2C0\.5000"))
    page.wait_for_selector("#asked .crop-box:not([hidden])")


def test_the_panel_shows_words_that_one_can_search_for(open_page):
    page = open_page("/?q=yellow")
    page.locator(".tile-link", has=page.locator("css=[data-id]")).first.wait_for(state="detached")
    page.locator(".tile-link").first.click()
    page.wait_for_selector(".read-line")
    assert page.locator(".read-line .seen-name").all_inner_texts() == ["NO", "PARKING"]
    assert page.locator(".of-words.is-off").count() == 1
    page.locator(".switch").last.click()
    assert page.locator(".of-words.is-off").count() == 0
    page.click(".of-words .seen-box[title*='PARKING']")
    page.wait_for_function("() => document.querySelector('#words').value === 'text:\"PARKING\"'")
    settled(page)
    assert sorted(one.split(",")[0] for one in labels(page)) == ["0-yellow.png", "1-yellow.png"]


def test_tabs_of_words(open_page):
    page = open_page("/?q=parking")
    tab(page, "text")
    assert "tab=text" in page.url
    assert len(labels(page)) == 2
    page.fill("#words", "giraffe")
    page.press("#words", "Enter")
    page.wait_for_selector("#empty h2")
    assert page.inner_text("#empty h2") == "Not written anywhere"
    page.click("#empty >> text=Show all that was found")
    page.wait_for_selector(".tab[data-tab='all'][aria-selected='true']")
    tab(page, "objects")
    assert all("with" in one for one in labels(page))
    tab(page, "copies")
    assert len(labels(page)) == 1
    assert "1 copy more" in labels(page)[0]
    tab(page, "similar")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".tab[data-tab='copies'][aria-selected='true']")
    page.goto(page.url.split("?")[0] + "?q=color:red&tab=objects")
    page.wait_for_selector("#empty h2")
    assert "No object is asked for" in page.inner_text("#empty")


def test_tabs_of_a_picture(open_page, edits):
    page = open_page()
    drop(page, edits["mirrored"])
    tab(page, "copies")
    assert len(labels(page)) == 2
    assert all("mirrored" in one for one in labels(page))
    assert "mirrored" in page.locator(".caption.is-told").first.inner_text()
    tab(page, "similar")
    assert not any(one.startswith(("original", "small")) for one in labels(page))
    tab(page, "text")
    assert page.inner_text("#empty h2") == "No words in this picture"
    drop(page, edits["other"])
    tab(page, "copies")
    assert [one.split(",")[0] for one in labels(page)] == ["other.jpg"]


def test_what_is_seen_in_the_asked_picture_leads_on(open_page, site):
    page = open_page("/?q=has:car")
    image = page.locator(".tile-link").first.get_attribute("data-id")
    page.goto(f"{site}/?img={image}&tab=objects")
    page.wait_for_selector(".asked-seen .seen-name")
    assert page.locator(".asked-seen .seen-name").all_inner_texts() == ["dog", "car"]
    page.click("#asked .seen-box[title*='car']")
    page.wait_for_url(re.compile(r"region=0\.5000%2C0\.0000"))
    page.wait_for_selector("#asked .crop-box:not([hidden])")
    tab(page, "copies")
    assert "region" not in page.url


def test_copies_are_listed_and_decided_on(open_page):
    page = open_page("/?q=red&tab=copies")
    page.locator(".tile-link").first.click()
    page.wait_for_selector(".copy")
    assert page.locator(".copy").count() == 2
    assert "best" in page.locator(".copy").first.inner_text()
    assert "same picture" in page.locator(".copy").last.inner_text()
    other = page.locator(".copy").last.get_attribute("data-copy")
    page.get_by_role("button", name=re.compile("Keep as best")).click()
    page.wait_for_function("id => document.querySelector('.copy').dataset.copy === id", arg=other)
    assert page.evaluate("document.activeElement.ariaLabel") == "Copies"
    page.get_by_role("button", name=re.compile("Not a copy")).last.click()
    page.wait_for_selector(".copies >> text=No other file")
    for left in (2, 2):
        page.click(".copies >> text=Undo")
        page.wait_for_function(f"() => document.querySelectorAll('.copy').length === {left}")
    page.wait_for_function("id => document.querySelector('.copy').dataset.copy !== id", arg=other)
    page.locator(".copy-thumb:not([aria-current])").click()
    page.wait_for_function(
        "id => new URLSearchParams(location.search).get('open') === id", arg=other
    )
    page.wait_for_selector(f".copy[data-copy='{other}'] [aria-current='true']")


def test_objects_of_the_hits_are_offered_as_a_filter(open_page):
    page = open_page("/?q=red")
    page.click("[data-filter='has']")
    page.click(".menu-item:has-text('bird')")
    page.wait_for_function("() => document.querySelector('#words').value === 'red has:bird'")
    settled(page)
    assert len(labels(page)) == 2
    assert page.get_attribute("[data-filter='has']", "aria-pressed") == "true"


def test_a_phone_shows_all_of_it(open_page):
    page = open_page(
        "/?q=two+dogs", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True,
        color_scheme="dark",
    )  # fmt: skip
    page.wait_for_selector("#reading:not([hidden])")
    page.locator(".tile-link").first.tap()
    page.wait_for_selector(".panel .seen-names")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('.panel').scrollWidth <= innerWidth")
