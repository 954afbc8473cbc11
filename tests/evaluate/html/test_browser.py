"""The pages in headless Chromium: the DOM after the script ran, and an empty console.

Needs Debian's package `chromium` or another Chromium; nothing is fetched.
"""

from dataclasses import replace

from tests.helpers.report_pages import ABOUT, ROWS, scene_of
from tests.helpers.tiny_data import FOUR_IMAGES
from yolo.evaluate.analysis.build_report import build_report
from yolo.evaluate.analysis.compare import compare
from yolo.evaluate.html.compare_page import write_comparison
from yolo.evaluate.html.report_page import write_report

HOSTILE = (
    "</title><script>document.title='taken'</script>",
    "\"'><img src=x onerror=\"document.title='taken'\">",
)


def test_the_browser_reports_an_error_of_a_script(opened, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<!DOCTYPE html><html><body><script>throw Error('seen')</script></body></html>")
    assert any("seen" in line for line in opened(page)[1])


def test_a_report_opens_without_a_message_and_its_script_runs(four, tmp_path, opened):
    evaluation = replace(scene_of(FOUR_IMAGES), names=HOSTILE, image_ids=(*HOSTILE, "c", "d"))
    about = replace(ABOUT, command=HOSTILE[0], weights=HOSTILE[1])
    path = write_report(tmp_path / "r", build_report(evaluation, four.images, about, ROWS))
    page, console = opened(path)
    assert console == []
    assert dict(page.starts)["html"]["data-ready"] == "yes"  # set by the last line of the script
    assert "taken" not in page.texts and HOSTILE[0] in page.texts
    assert page.count("image") == 4 and page.count("script") == 1
    assert "0.123457" in page.texts
    assert all(name in page.texts for name in HOSTILE)


def test_two_reports_side_by_side_open_without_a_message(four, tmp_path, opened):
    a = build_report(scene_of(FOUR_IMAGES), four.images, ABOUT, ROWS)
    path = write_comparison(tmp_path / "c", a, a, compare(a, a))
    page, console = opened(path)
    assert console == [] and dict(page.starts)["html"]["data-ready"] == "yes"
    assert page.text.count("same") > 10
