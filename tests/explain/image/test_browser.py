"""The page in headless Chromium, used as a reader does: its script runs, its controls work, the console is silent."""

import pytest

from tests.explain.image.test_page import ABOUT, explained
from tests.helpers.browser import BROWSERS, Browser
from yolo.explain.image.page import explanation_numbers, image_part, write_explained
from yolo.explain.image.views import MOST_KEPT

HOSTILE = (
    "</title><script>document.title='taken'</script>",
    "\"'><img src=x onerror=\"document.title='taken'\">",
)
VISIBLE = "[...document.querySelectorAll('{}')].filter(each => each.getClientRects().length).length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory, require_tool):
    program = require_tool(*BROWSERS, package="chromium")
    with Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """The page of two images, on which the class with the hostile name 1 is chosen for the second; its explanation."""
    explanation, rules = explained("two_yolo", causes=2)
    parts = [image_part(explanation, HOSTILE, rules, number, label) for number, label in ((0, None), (1, 1))]
    numbers = [explanation_numbers(explanation, HOSTILE, rules)]
    browser.show_as(1400, 900)
    browser.open(write_explained(tmp_path_factory.mktemp("r") / "r", ABOUT, parts, numbers).as_uri())
    return explanation


def test_the_scripts_run_and_the_console_is_silent(browser, opened):
    assert browser.run("[document.documentElement.dataset.ready, document.documentElement.dataset.explained]") == [
        "yes",
        "yes",
    ]
    assert browser.console == [] and browser.run("document.title").startswith("Explained")
    assert browser.run(VISIBLE.format(".panel")) == 2  # one of each image
    assert browser.text("#image0 [data-map-title]") == "Most probable class"
    assert browser.text("#image1 [data-map-title]") == f"Probability of {HOSTILE[1]}"


def test_boxes_before_and_after_nms(browser, opened):
    kept, suppressed = min(len(opened.fates.kept), MOST_KEPT), len(opened.fates.suppressed)
    assert browser.run(VISIBLE.format("#image0 rect.box[data-row]")) == kept
    browser.click("#image0 [data-stage-choice=before]")
    assert browser.run(VISIBLE.format("#image0 rect.box[data-row]")) == kept + suppressed
    browser.click("#image0 [data-stage-choice=all]")
    assert browser.run(VISIBLE.format("#image0 tbody tr[data-row]")) == kept + suppressed + len(opened.fates.below)
    browser.click("#image0 [data-stage-choice=after]")
    assert browser.run(VISIBLE.format("#image0 tbody tr[data-row]")) == kept
    assert browser.run(VISIBLE.format("#image1 tbody tr[data-row]")) == kept


def test_a_detection_is_chosen_by_its_button_and_by_its_row(browser, opened):
    browser.click("#image0 [data-panel-choice=image0-detection1]")
    assert browser.run("[...document.querySelectorAll('#image0 .panel')].filter(p => !p.hidden).map(p => p.id)") == [
        "image0-detection1"
    ]
    browser.click("#image0 tr[data-panel=image0-detection0] td")
    assert browser.run(VISIBLE.format("#image0-detection0")) == 1
    assert browser.run(VISIBLE.format("#image0-detection1")) == 0
    assert browser.run("document.querySelectorAll('#image0 .lit').length") == 2  # the row and the box


def test_a_class_map_is_chosen_and_masked_by_objectness(browser, opened):
    grid = opened.grids[0]
    choose = (
        "(() => {{ const s = document.querySelector('#image0 [data-class-choice]'); s.value = '{}';"
        " s.dispatchEvent(new Event('change')); }})()"
    )
    browser.run(choose.format(1))
    stacked = "document.querySelector('#image0 .stacked image')"
    assert browser.run(f"{stacked}.getAttribute('y')") == str(-grid.height)
    assert browser.run(VISIBLE.format("#image0 .best")) == 0
    browser.click("#image0 [data-times-objectness]")
    assert browser.run("document.querySelector('#image0 .class-map').getAttribute('mask')").startswith(
        "url(#image0-mask"
    )
    browser.click("#image0 [data-times-objectness]")
    browser.run(choose.format("best"))
    assert browser.run(VISIBLE.format("#image0 .best")) == len(opened.grids)
    assert browser.console == []


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(browser, opened, dark):
    browser.show_as(360, 800, dark=dark, phone=True)
    assert browser.run("document.documentElement.scrollWidth") <= 360
    browser.show_as(1400, 900)
