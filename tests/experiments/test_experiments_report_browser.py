"""The report in a real browser: on a desk and on a phone, light and dark, with and without JavaScript, by keyboard."""

import shutil
from pathlib import Path

import pytest
from small_study import ABSTAINED, FAILED, HOSTILE, RIGHT, WRONG, study

from rtk.experiments.analysis.grids import grid
from rtk.experiments.reports.report import report

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
ENDS = [[RIGHT, WRONG, RIGHT], [WRONG, RIGHT, RIGHT], [ABSTAINED, WRONG, RIGHT], [FAILED, RIGHT, RIGHT]] * 5


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium, headless."""
    from playwright.sync_api import sync_playwright  # here, so that machines without it can skip these tests

    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert path, "no chromium on this machine: apt-get install chromium"
    flags = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=path, args=flags) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report, one of hostile texts, and a grid alone, as GitHub would show it: without a style."""
    made = tmp_path_factory.mktemp("reports")
    report(study(ENDS), made / "study.html")
    report(study(question=HOSTILE + " {at} " + "z" * 3000), made / "hostile.html")
    (made / "grid.html").write_text(f"<!doctype html><meta charset=utf-8>{grid(study(ENDS))._repr_html_()}", "utf-8")
    return made


@pytest.fixture
def opened(browser, folder, request):
    """A function: one of the pages, with what it asked for from elsewhere and what it complained of."""
    contexts = []

    def made(name="study", viewport=DESK, **how):
        context = browser.new_context(viewport=viewport, **how)
        contexts.append(context)
        page = context.new_page()
        page.trouble = []
        page.on("console", lambda told: page.trouble.append(told.text))
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith("file:") or page.trouble.append(asked.url))
        page.goto((folder / f"{name}.html").as_uri())
        return page

    yield made
    for context in contexts:
        context.close()


def shown(page):
    return page.locator("#rows details.row:not([hidden])").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "viewport"), [("desk", DESK), ("phone", PHONE)])
def test_it_is_readable(opened, name, viewport, scheme):
    """Nothing is wider than the window, nothing is loaded, and text stands off its ground in light and in dark."""
    for study_name in ("study", "hostile"):
        page = opened(study_name, viewport, color_scheme=scheme)
        page.locator("#rows details.row").nth(3).locator("> summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert page.trouble == []
        assert contrast(page, "body") > 7
        for kind in (".lead", ".outcome.wrong", ".outcome.failed", ".outcome.abstained", "nav a", "figure svg text"):
            assert contrast(page, kind) > 4.5, kind
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"report-{name}-{scheme}.png")


def contrast(page, selector):
    """How an element's colour stands off the page's ground, as WCAG has it."""
    return page.evaluate(
        """selector => {
          const light = text => {
            const parts = text.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255)
              .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
          };
          const one = getComputedStyle(document.querySelector(selector));
          const ink = light(selector.includes("svg") ? one.fill : one.color);
          const paper = light(getComputedStyle(document.body).backgroundColor);
          return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        }""",
        selector,
    )


def test_answers_are_filtered(opened):
    """By setting, by how they ended and by words, together; how many are left is said to a screen reader."""
    page = opened()
    said = page.get_by_role("status")
    assert said.inner_text() == "All 60 are shown."
    page.get_by_label("Setting", exact=True).select_option("samples=2")
    assert (shown(page), said.inner_text()) == (20, "20 of 60 are shown.")
    for way in (RIGHT, ABSTAINED, FAILED):
        page.get_by_role("checkbox", name=way).uncheck()
    assert shown(page) == 10
    assert set(page.locator("#rows .group:not([hidden]) h3").all_inner_texts()) == {"✗ Wrong (15)"}
    page.get_by_role("searchbox").fill(" IS  2 +")
    page.get_by_text("1 of 60 are shown.").wait_for()
    page.get_by_role("searchbox").fill("nowhere")
    page.get_by_text("None fits.").wait_for()
    page.get_by_role("button", name="Clear").click()
    assert shown(page) == 60
    assert page.trouble == []


def test_it_is_used_by_keyboard(opened):
    """Everything is reached with Tab, and an answer unfolds with Enter."""
    page = opened()
    reached = []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answers"
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("[document.activeElement.tagName, document.activeElement.type ?? ''].join(' ')"))
    assert {"SELECT select-one", "INPUT search", "INPUT checkbox", "BUTTON button", "SUMMARY "} <= set(reached)
    while page.evaluate("document.activeElement.tagName") != "SUMMARY":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#rows details.row[open]").count() == 1
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_a_link_unfolds_its_answer(opened):
    """What is worth reading leads to its answer, unfolded, also when a filter hides it."""
    page = opened()
    page.get_by_role("checkbox", name=FAILED).uncheck()
    page.locator(".worth a").first.click()
    row = page.locator("#rows details.row[open]")
    row.locator("dt", has_text="error").wait_for(state="visible")
    assert row.count() == 1
    assert row.get_attribute("data-outcome") == FAILED


def test_it_works_without_a_script(opened):
    """Without JavaScript every answer is there and unfolds, links lead to them, and no dead control is shown."""
    page = opened(java_script_enabled=False)
    assert page.locator("form, select, button").count() == 0
    row = page.locator("#rows details.row").nth(20)
    assert not row.locator("dl").is_visible()
    row.locator("> summary").click()
    assert row.locator("dl").is_visible()
    assert row.locator(".rtk-deliberation").is_visible()


def test_hostile_text_runs_nothing(opened):
    """No text of a model runs, and the title is ours."""
    page = opened("hostile")
    assert page.title() == "A study of arithmetic"
    assert page.locator("script").count() == 1
    page.get_by_role("button", name="Unfold").click()
    assert page.locator("img, iframe").count() == 0
    assert page.trouble == []


def test_a_script_in_the_page_would_not_run(opened, folder):
    """Even if a tag slipped through, the page's policy runs no other script and loads no picture."""
    page = (folder / "study.html").read_text("utf-8")
    slipped = (
        "<script>document.title='pwned'</script><img src='https://127.0.0.1:9/x.png' onerror=\"document.title='p'\">"
    )
    (folder / "slipped.html").write_text(page.replace("</main>", f"{slipped}</main>"), "utf-8")
    found = opened("slipped")
    found.wait_for_timeout(200)
    assert found.title() == "A study of arithmetic"
    assert all("Content Security Policy" in told or "127.0.0.1" in told for told in found.trouble)
    assert len(found.trouble) >= 3


def test_a_grid_keeps_its_headings(opened):
    """Scrolled down and sideways the settings stay above and the questions at the left, on any page."""
    page = opened("grid", PHONE)
    place = """() => {
      const box = document.querySelector(".rtk-grid > div");
      box.scrollTo(150, 400);
      const [one, head, side] = [box, box.querySelector("thead th"), box.querySelectorAll("tbody th")[12]]
        .map(element => element.getBoundingClientRect());
      return [Math.abs(head.top - one.top), Math.abs(side.left - one.left), box.scrollTop];
    }"""
    top, left, scrolled = page.evaluate(place)
    assert scrolled > 100
    assert (top < 2, left < 2) == (True, True)
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "grid-phone.png")
