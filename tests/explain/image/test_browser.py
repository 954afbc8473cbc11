"""The page in headless Chromium, used as a reader does: its script runs, its controls work, the console is silent."""

from dataclasses import replace

import numpy as np
import pytest

from tests.explain.image.test_page import ABOUT, explained
from tests.helpers.browser import BROWSERS, Browser
from yolo.explain.film.page import FilmImage, FilmMoment, film_page
from yolo.explain.image.page import explanation_numbers, image_part, write_explained
from yolo.explain.image.views import MOST_KEPT
from yolo.pages.page import page_image

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


def test_an_image_much_taller_than_wide_does_not_fill_many_screens(browser, opened, tmp_path):
    scene = "document.querySelector('svg.scene')"
    browser.run(f"{scene}.setAttribute('viewBox', '0 0 24 600')")
    assert 700 < browser.run(f"{scene}.getBoundingClientRect().height") < 800
    browser.run(f"{scene}.setAttribute('viewBox', '0 0 600 450')")
    film = FilmImage("tall", "tall.png", [page_image(np.zeros((320, 13, 3), np.uint8), ".jpg")])
    (tmp_path / "film.html").write_text(film_page("run", [film], [FilmMoment(0, {})], ["a"]))
    browser.open((tmp_path / "film.html").as_uri())
    assert 300 < browser.run("document.images[0].getBoundingClientRect().height") < 500


def test_without_a_box_above_the_threshold_the_best_below_it_are_shown(browser, tmp_path):
    explanation, rules = explained("two_yolo", causes=0)
    fates = replace(explanation.fates, kept=(), suppressed=(), suppressed_count=0, below=explanation.fates.kept)
    parts = [image_part(replace(explanation, fates=fates, detections=(), causes=()), HOSTILE, rules, 0, None)]
    browser.open(write_explained(tmp_path / "r", ABOUT, parts, []).as_uri())
    assert browser.run(VISIBLE.format("#image0 tbody tr[data-row]")) == len(fates.below) > 0
    assert browser.text("[data-stage-choice][aria-pressed=true]").startswith("also the best below")
