"""The page that walks from the sorted detections of a class to its average precision."""

from dataclasses import asdict
from pathlib import Path

from yolo.explain.score import charts
from yolo.explain.score.readings import lowest_and_highest
from yolo.explain.score.rows import FIRST_ROWS, csv_text, detection_cards, detection_row, shown_places, table_places
from yolo.explain.score.walked_score import ScoredSet, WalkedScore, class_number, walked_score
from yolo.files.writing import write_text
from yolo.formats.json_file import readable_json
from yolo.pages.page import check_page_folder, render, write_page

TEMPLATES = Path(__file__).parent / "templates"
NUMBERS_FILE, CSV_FILE = "ap.json", "detections.csv"
SHOWN_PLATEAUS = 12


def explain_score(
    folder: str | Path, scored: ScoredSet, name: str, iou_thresh: float, report: str | None = None
) -> Path:
    """Write the page of a class with its numbers and its detections, and return the page's path.

    Args:
        folder: gets index.html, ap.json and detections.csv.
        scored: ground truth and detections.
        name: of the class.
        iou_thresh: a match needs an IoU above this, except in COCO's numbers.
        report: address of the page of all classes, for a link to it.

    Raises:
        DatasetError: there is no such class.
        OutputError: the folder holds a page of another kind.
        OSError: a file cannot be written.
    """
    label = class_number(name, scored.names)
    check_page_folder(folder, NUMBERS_FILE)
    score = walked_score(scored, label, iou_thresh)
    write_text(Path(folder) / CSV_FILE, csv_text(score, scored))
    return write_page(folder, score_page(score, scored, report), NUMBERS_FILE, numbers_text(score))


def score_page(score: WalkedScore, scored: ScoredSet, report: str | None = None) -> str:
    """Return the page; the images are read where they are found. report: as of `explain_score`."""
    walk = score.walk
    places = table_places(len(walk.rows))
    first, faults = shown_places(walk)
    example = min(9, len(walk.rows) - 1)
    return render(
        TEMPLATES,
        "score.html.jinja",
        score=score,
        report=report,
        walk=walk,
        images=len(scored.files),
        counts=walk.outcome_counts(),
        rows=[detection_row(score, scored, place) for place in places],
        example=detection_row(score, scored, example) if example >= 0 else None,
        cards=detection_cards(score, scored, first),
        fault_cards=detection_cards(score, scored, faults),
        points=[(each, None if each.place is None else each.place + 1) for each in score.points],
        plateaus=score.plateaus[:SHOWN_PLATEAUS],
        other_plateaus=score.plateaus[SHOWN_PLATEAUS:],
        hundred_mean=float(score.hundred.mean()),
        extremes=lowest_and_highest(score.readings),
        walked_chart=charts.walked_chart(walk),
        eleven_chart=charts.eleven_chart(walk, score.points),
        area_chart=charts.area_chart(walk, score.plateaus),
        hundred_chart=charts.hundred_chart(score.curves[-1], score.hundred),
        family_chart=charts.family_chart(score.curves),
        csv_file=CSV_FILE,
        dotted=charts.DOTTED,
        first_rows=FIRST_ROWS,
    )


def numbers_text(score: WalkedScore) -> str:
    """Return the numbers of the page as JSON."""
    walk = score.walk
    content = {
        "class": score.name,
        "iou_thresh": score.iou_thresh,
        "ground_truths": walk.ground_truths,
        "difficult": walk.difficult,
        "detections": len(walk.rows),
        "verdicts": walk.outcome_counts(),
        "missed": asdict(score.missed),
        "readings": [asdict(each) for each in score.readings],
        "points": [{"recall": each.recall, "precision": each.precision} for each in score.points],
        "unseen": asdict(score.unseen),
        "classes": [asdict(each) for each in score.classes],
        "mAP": {"voc07": score.mean_voc07, "area": score.mean_area},
    }
    return readable_json(content, indent=1, allow_nan=False) + "\n"
