"""The colors of page.css, light and dark: texts reach WCAG AA's contrast of 4.5 on what is behind them."""

import re

import pytest

from yolo.pages.page import TEMPLATES

STYLE = (TEMPLATES / "page.css").read_text()
MACROS = (TEMPLATES / "parts.html.jinja").read_text()
LEAST = 4.5  # WCAG 2.1, 1.4.3, for letters below 24 pixels


def colors(dark):
    """Name → (red, green, blue) of the variables, of the light scheme or of the dark one over it."""
    blocks = re.findall(r":root \{([^}]*)\}", STYLE)[: 1 + dark]
    return {name: tuple(bytes.fromhex(code)) for name, code in re.findall(r"--(\S+): #(\w{6})", "".join(blocks))}


def contrast(one, other):
    """WCAG 2.1's contrast ratio of two colors."""
    low, high = sorted(sum(
        weight * (part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4)
        for weight, part in zip((0.2126, 0.7152, 0.0722), color, strict=True)
    ) for color in (one, other))  # fmt: skip
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_texts_contrast_with_their_ground(dark):
    found = colors(dark)
    for text in ("ink", "soft", "faint", "a", "good", "bad"):  # b is of marks
        for ground in ("ground", "card"):
            assert contrast(found[text], found[ground]) >= LEAST, (text, ground)
    assert contrast(found["tip-ink"], found["tip"]) >= LEAST


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_contrast_with_the_cells_of_a_confusion_table(dark):
    found, part = colors(dark), int(re.search(r"\[\((\d+) \* number / total", MACROS)[1]) / 100
    for mark in ("good", "bad"):
        cell = [part * a + (1 - part) * b for a, b in zip(found[mark], found["card"], strict=True)]
        assert contrast(found["ink"], cell) >= LEAST, mark
