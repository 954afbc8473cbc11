"""Write detections as labels to correct by hand and to train on: YOLO text, PASCAL VOC XML, COCO json.

Boxes are cut to the image; one without width or height inside it is left out. Frames of a video are written as images
beside their labels, since labels without images cannot be corrected.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from yolo.detect.outputs.images import write_png
from yolo.detect.outputs.naming import Stems
from yolo.detect.outputs.result import Result, color_image
from yolo.files.writing import write_text
from yolo.formats.json_file import readable_json

Row = tuple[int, float, float, float, float]  # label, x1, y1, x2, y2 in image pixels
NOT_IN_XML = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, section 2.2


class LabelFiles:
    """`out/labels/IMAGE.txt` or `.xml`, or one `out/labels.json` for COCO; `out/images/` for frames of videos.

    YOLO's texts have numbers for classes: `out/classes.txt` has the names, for LabelImg and `yolo-darknet split`.
    """

    def __init__(self, out: Path, kind: str, names: Sequence[str], stems: Stems) -> None:
        self._out = out
        self._names = names
        self._stems = stems
        self._text = {"yolo": yolo_rows, "voc": voc_annotation}.get(kind)
        self._ending = {"yolo": ".txt", "voc": ".xml"}.get(kind)
        self._images: list[tuple[str, tuple[int, int], list[Row]]] = []
        self._any = False

    def write(self, result: Result) -> None:
        self._any = True
        stem = self._stems.of_frame(result.frame)
        if result.frame.path is None:
            image = self._out / "images" / f"{stem}.png"
            write_png(image, color_image(result.frame.image))
        else:
            image = result.frame.path
        rows = rows_inside(result)
        if self._text is None:
            self._images.append((coco_file_name(image, self._out), result.size, rows))
        else:
            text = self._text(image, result.size, rows, self._names)
            write_text(self._out / "labels" / f"{stem}{self._ending}", text)

    def finish(self) -> None:
        """Write the files for all images: COCO's one file, YOLO's names. Write nothing if no image could be read."""
        if self._any and self._text is yolo_rows:
            write_text(self._out / "classes.txt", "".join(f"{name}\n" for name in self._names))
        if self._any and self._text is None:
            write_text(self._out / "labels.json", coco_annotations(self._images, self._names))


Text = Callable[[Path, tuple[int, int], list[Row], Sequence[str]], str]


def coco_file_name(image: Path, out: Path) -> str:
    """Return an image's name for COCO's readers, relative to one folder: `out`, or where the relative paths begin."""
    if image.is_relative_to(out):
        return image.relative_to(out).as_posix()
    return image.name if image.is_absolute() or ".." in image.parts else image.as_posix()


def rows_inside(result: Result) -> list[Row]:
    """Return the detections with a width and a height inside the image, best first."""
    boxes = result.clipped_boxes().tolist()
    labels = result.detections.labels.tolist()
    rows = ((label, *box) for label, box in zip(labels, boxes, strict=True))
    return [row for row in rows if row[3] > row[1] and row[4] > row[2]]


def yolo_rows(_: Path, size: tuple[int, int], rows: list[Row], names: Sequence[str]) -> str:
    """Return the rows `class cx cy w h` of a label file, in 0..1 of the image.

    Args:
        _: the image file, which a label file does not name.
        size: (height, width) of the image.
        rows: class and xyxy corners in image pixels of each detection.
        names: the classes; label files have numbers instead.
    """
    height, width = size
    return "".join(
        f"{label} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
        f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
        for label, x1, y1, x2, y2 in rows
    )


def voc_annotation(image: Path, size: tuple[int, int], rows: list[Row], names: Sequence[str]) -> str:
    """Return VOC's XML. Its corners are pixels counted from 1, the last one included.

    Args:
        image: the image file.
        size: (height, width) of the image.
        rows: class and xyxy corners in image pixels of each detection.
        names: the classes.
    """
    height, width = size
    root = ElementTree.Element("annotation")
    _child(root, "folder", image.parent.name)
    _child(root, "filename", image.name)
    _child(root, "path", str(image))
    sides = _child(root, "size")
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        _child(sides, tag, str(value))
    for label, x1, y1, x2, y2 in rows:
        entry = _child(root, "object")
        _child(entry, "name", names[label])
        _child(entry, "difficult", "0")
        box = _child(entry, "bndbox")
        first = min(round(x1) + 1, width), min(round(y1) + 1, height)
        last = max(round(x2), first[0]), max(round(y2), first[1])
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), (*first, *last), strict=True):
            _child(box, tag, str(value))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def coco_annotations(images: list[tuple[str, tuple[int, int], list[Row]]], names: Sequence[str]) -> str:
    """Return COCO's json of ground truth, all ids from 1; images: file name, (height, width) and rows of each."""
    entries, annotations = [], []
    for image_id, (file, (height, width), rows) in enumerate(images, start=1):
        entries.append({"id": image_id, "file_name": file, "width": width, "height": height})
        for label, x1, y1, x2, y2 in rows:
            box = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            annotation = {"id": len(annotations) + 1, "image_id": image_id}
            annotation |= {"category_id": label + 1, "bbox": box}
            annotations.append(annotation | {"area": round(box[2] * box[3], 2), "iscrowd": 0})
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    return readable_json(content, indent=1) + "\n"


def _child(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, tag)
    child.text = None if text is None else NOT_IN_XML.sub(_as_escape, text)
    return child


def _as_escape(found: re.Match[str]) -> str:
    """Return a character of a file's name as commands print it, such as `\\x1b`."""
    return found[0].encode("unicode_escape").decode()
