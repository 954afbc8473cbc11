"""The page of a detection data set."""

from dataclasses import asdict
from pathlib import Path

from yolo.explain.data_set import charts
from yolo.explain.data_set.advice import advice_of
from yolo.explain.data_set.shown_images import sheets_of, shown_groups, shown_odd, shown_problems
from yolo.explain.data_set.survey import DataSurvey
from yolo.formats.json_file import readable_json
from yolo.pages.page import render, write_page

TEMPLATES = Path(__file__).parent / "templates"
NUMBERS_FILE = "data.json"


def write_data_page(folder: str | Path, survey: DataSurvey, seed: int = 0, each: int | None = None) -> Path:
    """Write the page of a data set and its data.json, and return the page's path.

    Args:
        folder: gets index.html and data.json.
        survey: of the data set.
        seed: of the random images.
        each: number of random images of a class; None: as many as fit on a page.

    Raises:
        OutputError: the folder holds a page of another kind.
        OSError: a file cannot be written.
    """
    return write_page(folder, data_page(survey, seed, each), NUMBERS_FILE, survey_text(survey))


def data_page(survey: DataSurvey, seed: int = 0, each: int | None = None) -> str:
    """Return the page; the images are read from their files."""
    with_boxes = [(counts, shapes) for counts, shapes in zip(survey.lists, survey.shapes, strict=True) if shapes]
    lists, shapes = zip(*with_boxes, strict=True) if with_boxes else ((), ())
    heads = survey.anchors.heads if survey.anchors else ()
    powers = charts.size_range(shapes, heads) if shapes else (0, 1)
    groups = sorted(survey.groups, key=lambda group: not survey.across(group))
    return render(
        TEMPLATES,
        "data.html.jinja",
        survey=survey,
        advice=advice_of(survey),
        series=charts.SERIES,
        head_looks=charts.HEAD_LOOKS,
        class_order=sorted(range(len(survey.names)), key=lambda label: -survey.lists[0].class_objects[label]),
        class_chart=charts.class_chart(survey.names, survey.lists),
        crowd_chart=charts.crowd_chart(survey.lists),
        side_chart=charts.side_chart(shapes, lists) if shapes else None,
        ratio_chart=charts.ratio_chart(shapes, lists) if shapes else None,
        size_charts=[
            (each_list.name, shape, charts.size_chart_with_anchors(shape, heads, each_list.name, powers))
            for each_list, shape in with_boxes
        ],
        place_charts=[(each_list.name, charts.place_chart(shape, each_list.name)) for each_list, shape in with_boxes],
        across=sum(map(survey.across, survey.groups)),
        groups=shown_groups(survey, groups),
        doubled=shown_odd(survey, survey.doubled),
        unusual=shown_odd(survey, survey.unusual),
        problems=shown_problems(survey),
        sheets=sheets_of(survey, seed, each),
        seed=seed,
    )


def survey_text(survey: DataSurvey) -> str:
    """Return all numbers of the page, all problems and all groups as JSON."""
    content = {
        "data": survey.data,
        "names": survey.names,
        "input": {"width": survey.frame.size[1], "height": survey.frame.size[0], "cfg": survey.frame.cfg},
        "advice": [each._asdict() for each in advice_of(survey)],
        "lists": [asdict(each) for each in survey.lists],
        "shifts": [{"class": survey.names[label], "train": one, "valid": other} for label, one, other in survey.shifts],
        "anchors": asdict(survey.anchors) if survey.anchors else None,
        "duplicates": [
            {
                "exact": group.exact,
                "images": [
                    {"list": survey.lists[number].name, "path": survey.images[number].paths[place]}
                    for number, place in map(survey.list_of, group.members)
                ],
            }
            for group in survey.groups
        ],
        "odd_labels": [
            {
                "list": survey.lists[number].name,
                "path": survey.images[number].paths[odd.image],
                "boxes": odd.boxes,
                "what": odd.what,
            }
            for number, odd in (*survey.doubled, *survey.unusual)
        ],
        "problems": [asdict(problem) for problem in survey.problems],
    }
    return readable_json(content, indent=1, allow_nan=False) + "\n"
