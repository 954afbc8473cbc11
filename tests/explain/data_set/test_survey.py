"""Boxes in the frame of the network, images of problems, and the page in a browser."""

from collections import Counter
from dataclasses import replace

import numpy as np

from tests.explain.data_set.test_odd_labels import images_of
from yolo.data.check import network_boxes
from yolo.data_file import read_data
from yolo.explain.boxed_images import MOST_BOXES
from yolo.explain.data_set.advice import advice_of
from yolo.explain.data_set.network_view import network_view
from yolo.explain.data_set.page import write_data_page
from yolo.explain.data_set.shown_images import images_of_problems, sheets_of
from yolo.explain.data_set.survey import survey_data
from yolo.letterbox import letterboxed, stretched
from yolo.records import Problem

HOSTILE = "\"'><img src=x onerror=\"document.title='taken'\">"


def test_boxes_are_placed_as_the_network_sees_the_image():
    images = images_of([(0, 0.5, 0.5, 0.5, 0.5)], [], [(0, 0.25, 0.5, 0.1, 0.2)], size=(100, 200))
    # by hand: an image of 200 x 100 in 416 x 416 is 416 x 208, 104 pixels below the upper border
    letter = network_boxes(images, (416, 416), letterboxed)
    assert letter.tolist() == [[208, 208, 208, 104], [104, 208, 41.6, 41.6]]
    stretch = network_boxes(images, (416, 416), stretched)
    assert np.allclose(stretch, [[208, 208, 208, 208], [104, 208, 41.6, 83.2]])


def test_a_problem_finds_its_image_by_the_image_or_its_labels(four):
    survey = survey_data(read_data(four.data), network_view(None, {}, "alexeyab"))
    image = str(four.images[2])
    labels = image.replace("images", "labels").replace(".png", ".txt")
    labels = str(survey.images[0][2].labels) if survey.images[0][2].labels else labels
    problems = [Problem("k", f"{image}: odd"), Problem("k", f"{labels}:1: odd"), Problem("k", "elsewhere.txt:1: odd")]
    found = images_of_problems(survey, problems)
    assert {message: each.path.name for message, each in found.items()} == {
        problems[0].message: four.images[2].name,
        problems[1].message: four.images[2].name,
    }


def test_class_names_that_differ_little_are_reported(four):
    survey = survey_data(read_data(four.data), network_view(None, {}, "alexeyab"))
    texts = [each.text for each in advice_of(replace(survey, names=("Cat", "cat")))]
    assert "names that differ little are 2 classes: Cat, cat" in texts
    assert not any("differ little" in each.text for each in advice_of(survey))


def test_sheets_begin_with_the_rarest_class_and_depend_on_the_seed(four):
    survey = survey_data(read_data(four.data), network_view(None, {}, "alexeyab"))
    sheets = sheets_of(survey, seed=0, each=2)
    counts = [sheet.objects for sheet in sheets]
    assert counts == sorted(counts) and all(len(sheet.shown) == 2 for sheet in sheets)
    files = {tuple(each.file for sheet in sheets_of(survey, seed, 2) for each in sheet.shown) for seed in range(8)}
    assert len(files) > 1


def test_of_a_crowded_image_the_boxes_of_the_class_are_drawn_and_the_note_says_of_how_many(four):
    crowd = images_of([*[(0, 0.5, 0.5, 0.1, 0.1)] * MOST_BOXES, (1, 0.5, 0.5, 0.2, 0.2)])
    survey = replace(survey_data(read_data(four.data), network_view(None, {}, "alexeyab")), images=[crowd])
    (shown,) = next(sheet.shown for sheet in sheets_of(survey, seed=0, each=1) if sheet.name == survey.names[1])
    looks = Counter(shape.attributes["class"] for shape in shown.drawing.shapes)
    assert looks["outline chosen"] == 1 and looks["outline other"] == MOST_BOXES - 1
    assert shown.note == f"{survey.names[0]} 300, {survey.names[1]} 1; 300 of 301 boxes are drawn"


def test_the_page_opens_without_a_message(four, tmp_path, opened):
    (four.folder / "tiny.names").write_text(f"{HOSTILE}\ngreen\n")
    survey = survey_data(read_data(four.data), network_view(None, {}, "alexeyab"))
    page, console = opened(write_data_page(tmp_path / "page", survey))
    assert console == [] and dict(page.starts)["html"]["data-ready"] == "yes"
    assert HOSTILE in page.texts and page.count("image") > 4
