"""What tests of the page share: a browser, and pages in it that may not complain."""

import pytest

ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

EXPECTED = ("404 (Not Found)", "400 (Bad Request)", "422 (Unprocessable")


@pytest.fixture(scope="module")
def browser(chromium):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, headless=True, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a page of a site; whatever the console complains of fails the test."""
    contexts, complaints = [], []

    def opened(site, path="/", **options):
        options = {"viewport": {"width": 1280, "height": 800}} | options
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda m: m.type in {"error", "warning"} and complaints.append(m.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda r: r.url.startswith((site, "blob:", "data:")) or complaints.append(r.url),
        )
        page.goto(site + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [one for one in complaints if not any(known in one for known in EXPECTED)] == []
