"""Advice from a survey: sentences with numbers and recommended actions, at the top of the page."""

from collections.abc import Mapping
from typing import NamedTuple

from yolo.data.check import HANDLING
from yolo.data.convert.plan import similar_names
from yolo.explain.data_set.anchor_study import AnchorStudy
from yolo.explain.data_set.survey import TRAIN, DataSurvey
from yolo.pages.page import count_text

FEW_OBJECTS = 50  # of a class in train; AlexeyAB's README advises 2000 images of a class
LOW_RECALL = 0.02  # a gain by other anchors that is worth a line
CLOSER = 0.1  # a gain in mean IoU that is worth a line
MANY_SHARED = 0.01  # of the objects; more that share a prediction with another object are worth a warning
IDLE = 0.01  # of the objects; a head that is responsible for fewer learns almost nothing
RARE = 20  # times rarer than the most frequent class
SHOWN = 5  # names in a sentence


class Advice(NamedTuple):
    """level: bad (wrong data, too high scores), warn or good. text: what was found. action: what to do, or ""."""

    level: str
    text: str
    action: str = ""


def advice_of(survey: DataSurvey) -> list[Advice]:
    """Return the sentences, the worst first."""
    found = [*_problems(survey), *_duplicates(survey), *_classes(survey), *_labels(survey)]
    if survey.anchors is not None:
        found += anchor_advice(survey.anchors)
    order = {"bad": 0, "warn": 1, "good": 2}
    return sorted(found, key=lambda each: order[each.level])


def anchor_advice(study: AnchorStudy) -> list[Advice]:
    """Return what the anchors and the strides mean for the objects."""
    return [*_small(study), *_unassigned(study), *_same_prediction(study), _fit(study), *_idle_heads(study)]


def kinds_text(counts: Mapping[str, int]) -> str:
    """Return for example "2 x label out of range; 1 x box given twice"."""
    return "; ".join(f"{count:,} x {kind}" for kind, count in counts.items())


def _small(study: AnchorStudy) -> list[Advice]:
    """Return advice on objects that are smaller than a cell of the finest head."""
    now = study.small[0]
    if not now.objects:
        return []
    finest = min(head.stride for head in study.heads)
    cell = f"{finest:g} x {finest:g} pixels"
    of = f"{now.objects:,} of {count_text(study.whole.objects, 'object')} {'is' if now.objects == 1 else 'are'}"
    text = f"{of} smaller than a cell of the finest head ({cell} of {now.width} x {now.height})"
    better = next((each for each in study.small[1:] if each.objects <= now.objects / 4), None)
    action = "show them larger: cut the images into tiles, or use a finer head"
    if better:
        action = f"--set width={better.width} height={better.height} would make it {better.objects:,}"
    return [Advice("warn", text, action)]


def _unassigned(study: AnchorStudy) -> list[Advice]:
    if not study.unassigned:
        return []
    of = f"{study.unassigned:,} of {count_text(study.whole.objects, 'object')}"
    text = f"{of} fit best an anchor that no head has in its mask: nothing learns them"
    return [Advice("bad", text, "give every anchor to a head by mask=")]


def _same_prediction(study: AnchorStudy) -> list[Advice]:
    if not study.same_prediction:
        return []
    part = study.same_prediction / study.whole.objects
    of = f"{study.same_prediction:,} of {count_text(study.whole.objects, 'object')} ({part:.1%})"
    text = f"{of} have the image, cell and anchor of another object: one prediction cannot be both"
    if part <= MANY_SHARED:
        return [Advice("good", text)]
    return [Advice("warn", text, "a larger network input separates them")]


def _fit(study: AnchorStudy) -> Advice:
    """Return how well the anchors fit the objects, and whether others would fit better."""
    whole, kmeans, action = study.whole, study.kmeans, "the line for the cfg is under Anchors"
    fit = f"the cfg's anchors reach {whole.recall:.1%} of the objects at IoU .5 (mean IoU {whole.mean_iou:.3f})"
    if not kmeans:
        return Advice("good", f"{fit}; there are too few different boxes to compute better ones")
    if kmeans.recall - whole.recall > LOW_RECALL:
        better = f"those of k-means would reach {kmeans.recall:.1%} (mean IoU {kmeans.mean_iou:.3f})"
        return Advice("warn", f"{fit}; {better}", action)
    if kmeans.mean_iou - whole.mean_iou > CLOSER:
        return Advice("good", f"{fit}; those of k-means would fit closer (mean IoU {kmeans.mean_iou:.3f})", action)
    return Advice("good", f"{fit}; other anchors would gain little")


def _idle_heads(study: AnchorStudy) -> list[Advice]:
    if len(study.heads) == 1:
        return []
    objects = study.whole.objects
    return [
        Advice(
            "warn",
            f"the head of layer {head.layer} (stride {head.stride:g}) is responsible for "
            f"{count_text(head.objects, 'object')} of {objects:,}: it learns almost nothing",
            "a cfg without it is faster, or anchors by k-means distribute the objects evenly",
        )
        for head in study.heads
        if head.objects < IDLE * objects
    ]


def _problems(survey: DataSurvey) -> list[Advice]:
    counts = survey.problem_counts()
    serious = {kind: count for kind, count in counts.items() if HANDLING[kind].stops}
    others = {kind: count for kind, count in counts.items() if kind not in serious}
    found = []
    if serious:
        text = f"a training stops at: {kinds_text(serious)}"
        found.append(Advice("bad", text, "repair them, or leave them out by --on-problem skip"))
    if others:
        text = f"the check found: {kinds_text(others)}"
        found.append(Advice("warn", text, "each with its image under Problems"))
    return found or [Advice("good", "the check of all images and labels found no problem")]


def _duplicates(survey: DataSurvey) -> list[Advice]:
    across = [group for group in survey.groups if survey.across(group)]
    inside = len(survey.groups) - len(across)
    found = []
    if across:
        what = "an image of valid is" if len(across) == 1 else f"{len(across):,} groups of images are"
        text = f"{what} nearly the same as one of train, so the score is too high"
        found.append(Advice("bad", text, "move all of a group to one list"))
    if inside:
        images = sum(len(group.members) for group in survey.groups if not survey.across(group))
        text = f"{count_text(inside, 'group')} of nearly equal images in one list ({images:,} images)"
        found.append(Advice("warn", text, "keep one of each; otherwise their objects count more than others"))
    return found or [Advice("good", "no two images are nearly the same")]


def _classes(survey: DataSurvey) -> list[Advice]:
    first = survey.lists[0]
    found = [
        Advice("warn", f"names that differ little are {len(group)} classes: {', '.join(group)}",
               "if one class is meant, write one name in the annotations and convert them again")
        for group in similar_names(survey.names)
    ]  # fmt: skip
    if first.name == TRAIN:
        few = [
            (count, survey.names[label]) for label, count in enumerate(first.class_objects) if 0 < count < FEW_OBJECTS
        ]
        if few:
            shown = ", ".join(f"{name} ({count})" for count, name in sorted(few)[:SHOWN])
            more = f" and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
            text = f"{count_text(len(few), 'class')} with fewer than {FEW_OBJECTS} objects to learn from: {shown}{more}"
            found.append(Advice("warn", text, "label more of them"))
        seen = [(count, survey.names[label]) for label, count in enumerate(first.class_objects) if count]
        if len(seen) > 1 and max(seen)[0] > RARE * min(seen)[0]:
            (least, rare), (most, often) = min(seen), max(seen)
            text = f"{often} has {count_text(most, 'object')}, {rare} has {least:,}: {most / least:.0f} times fewer"
            action = "weigh them by counters_per_class in the heads, or list images of the rare class more often"
            found.append(Advice("warn", text, action))
    for label, one, other in survey.shifts[:SHOWN]:
        text = f"{survey.names[label]} is {one:.1%} of the objects of train and {other:.1%} of those of valid"
        found.append(Advice("warn", text, "split again, by scenes and with all classes in both lists"))
    return found


def _labels(survey: DataSurvey) -> list[Advice]:
    found = []
    if survey.doubled:
        found.append(
            Advice(
                "warn",
                f"{count_text(len(survey.doubled), 'pair')} of boxes on the same object",
                "remove one of the two; see Odd labels",
            )
        )
    if survey.unusual:
        found.append(
            Advice(
                "warn",
                f"{count_text(len(survey.unusual), 'box')} of a size unlike the class's others",
                "look at them under Odd labels",
            )
        )
    return found
