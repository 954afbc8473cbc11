"""The page in headless Chromium: its script ran, nothing is loaded, the console is silent."""

from tests.evaluate.html.test_browser import HOSTILE
from tests.explain.image.test_page import ABOUT, explained
from yolo.explain.image.page import explanation_numbers, image_part, write_explained


def test_the_page_opens_without_a_message_and_its_script_runs(tmp_path, opened):
    explanation, rules = explained("two_yolo", causes=2)
    parts = [image_part(explanation, HOSTILE, rules, number, label) for number, label in ((0, None), (1, 1))]
    numbers = [explanation_numbers(explanation, HOSTILE, rules)]
    page, console = opened(write_explained(tmp_path / "r", ABOUT, parts, numbers))
    assert console == []
    html = dict(page.starts)["html"]
    assert html["data-ready"] == "yes" and html["data-explained"] == "yes"  # set by the last lines of both scripts
    assert "taken" not in page.texts and any(HOSTILE[0] in text for text in page.texts)
    titles = [text for text in page.texts if text in ("Most probable class", f"Probability of {HOSTILE[1]}")]
    assert titles == ["Most probable class"] * 2 + [f"Probability of {HOSTILE[1]}"] * 2  # set by the script
    hidden = [attributes for _, attributes in page.starts if "hidden" in attributes and "id" in attributes]
    shown = sum("-detection" in (attributes.get("id") or "") for _, attributes in page.starts) - len(
        [each for each in hidden if "-detection" in each["id"]]
    )
    assert shown == 2  # one panel of each image
