"""The rows of soak.py that read mutated files: each is read, or refused by an error of the package in one line.

The tries of a row are divided among processes that have already imported torch. A try is made again by its row, its
number and the seed.
"""

import multiprocessing
import random
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from yolo.cfg import parse_cfg
from yolo.data.images import ignore_remark, read_image
from yolo.errors import CfgError, DatasetError, DivergedError, OutputError, WeightsError
from yolo.formats.coco_annotations import read_coco
from yolo.formats.label_files import read_rows
from yolo.formats.voc_xml import read_annotation_parts
from yolo.model.network import Network, build
from yolo.model.weights import load_weights, save_weights

PROJECT = Path(__file__).resolve().parent.parent
OWN_ERRORS = (CfgError, DatasetError, WeightsError, DivergedError, OutputError, OSError)
MOST_SECONDS = 30.0  # of the processor, for one mutated file
MOST_MEMORY = 12 * 2**30  # bytes of addresses of a process that reads mutated files
PART = 100  # tries that a process takes at once
RUN = 10  # every so many cfgs also draw random weights and compute all shapes, which takes longer than building
NUMBERS = ("0", "-1", "1", "2", "65536", "2147483648", "1e308", "nan", "inf", "", "1,2,3", "9" * 400)
CLASSES = 2
CFG = """[net]
batch=4
width=64
height=64
channels=3
learning_rate=0.001
max_batches={steps}
[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=leaky
[convolutional]
filters=14
size=1
activation=linear
[yolo]
mask=0,1
anchors=12,12, 24,24
classes=2
num=2
jitter=.2
"""

Reading = tuple[list[tuple[str, bytes]], Callable[[Path], object]]  # files by ending, and what reads them
Attempt = Callable[[random.Random, int], None]  # the random numbers of a try, and its number


@dataclass(frozen=True)
class Row:
    """What was tried, how often, and what did not survive, in words. about: what a reader of the table should know."""

    name: str
    tried: int
    failures: tuple[str, ...]
    about: str = ""


def small_network(steps: int = 6) -> Network:
    torch.manual_seed(0)
    return build(parse_cfg(CFG.format(steps=steps), "soak.cfg"))[0]


def survived(make: Callable[[Path], Attempt], name: str, folder: Path, tries: int, seed: int, workers: int) -> Row:
    """Call the attempt that `make` returns for a folder with the random numbers of each try, in several processes."""
    parts = [range(start, min(start + PART, tries)) for start in range(0, tries, PART)]
    folders = [folder / str(number) for number in range(len(parts))]
    work = partial(_part, make, name, seed)
    if workers == 1:
        found = list(map(work, folders, parts))
    else:
        with multiprocessing.get_context("fork").Pool(workers, _bounded) as pool:
            found = pool.starmap(work, zip(folders, parts, strict=True), chunksize=1)
    return Row(name, tries, tuple(failure for part in found for failure in part))


def _bounded() -> None:
    """Bound the memory of a process, so that a file that takes all of it is a failure and not the end of the soak."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def _part(make: Callable[[Path], Attempt], name: str, seed: int, folder: Path, numbers: Iterable[int]) -> list[str]:
    """Return the failures of some tries; any error other than the package's own is one."""
    folder.mkdir()
    attempt, failures = make(folder), []
    for number in numbers:
        start = time.process_time()
        try:
            attempt(random.Random(f"{seed} {name} {number}"), number)
        except OWN_ERRORS as error:
            if "\n" in str(error):
                failures.append(f"try {number}: an error of several lines: {error!r}")
        except Exception as error:
            failures.append(f"try {number}: {type(error).__name__}: {error}"[:300])
        if time.process_time() - start > MOST_SECONDS:
            failures.append(f"try {number}: over {MOST_SECONDS:g} s")
    return failures


def mutated_text(text: str, draw: random.Random) -> str:
    """Return a text with one to five lines that are dropped, repeated, swapped, or have another number or letter."""
    lines = text.splitlines()
    for _ in range(draw.randint(1, 5)):
        if not lines:
            break
        here, there = draw.randrange(len(lines)), draw.randrange(len(lines))
        kind = draw.randrange(5)
        if kind == 0:
            del lines[here]
        elif kind == 1:
            lines.insert(there, lines[here])
        elif kind == 2:
            lines[here], lines[there] = lines[there], lines[here]
        elif kind == 3:
            lines[here] = f"{lines[here].partition('=')[0]}={draw.choice(NUMBERS)}"
        else:
            place = draw.randint(0, len(lines[here]))
            lines[here] = lines[here][:place] + chr(draw.randrange(1, 0x250)) + lines[here][place + 1 :]
    return "\n".join(lines)


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    """Return bytes with flipped bits, a part cut off, dropped, repeated or overwritten."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        if not data:
            break
        start = draw.randrange(len(data))
        end = min(len(data), start + draw.choice((1, 2, 4, 8, 64, 1024)))
        kind = draw.randrange(5)
        if kind == 0:
            data[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[start:]
        elif kind == 2:
            del data[start:end]
        elif kind == 3:
            data[start:start] = data[start:end]
        else:
            data[start:end] = draw.randbytes(end - start)
    return bytes(data)


def mutated(reading: Callable[[Path], Reading], folder: Path) -> Attempt:
    """Return an attempt that mutates one of the contents, writes it with its ending and reads it.

    reading: returns the contents, each with its ending, and what reads such a file, for a folder to work in.
    """
    contents, read = reading(folder)

    def attempt(draw: random.Random, _number: int) -> None:
        ending, content = draw.choice(contents)
        path = folder / f"mutated{ending}"
        path.write_bytes(mutated_bytes(content, draw))
        read(path)

    return attempt


def mutated_cfgs(_folder: Path) -> Attempt:
    """Return an attempt that mutates a shipped cfg and builds it; every RUN-th also draws its weights and runs."""
    texts = [path.read_text() for path in sorted((PROJECT / "cfg").glob("*.cfg"))]
    often = [1 / len(text) for text in texts]  # so that each takes the same time in all
    draw_weights = Network.draw_weights

    def attempt(draw: random.Random, number: int) -> None:
        runs = number % RUN == 0
        Network.draw_weights = draw_weights if runs else lambda _network: None
        try:
            network, _ = build(parse_cfg(mutated_text(draw.choices(texts, often)[0], draw), "mutated.cfg"))
        finally:
            Network.draw_weights = draw_weights
        if runs:
            compute_shapes(network)

    return attempt


def compute_shapes(network: Network) -> None:
    """Run a network on torch's "meta" device, which computes shapes only, and compare them with those of building."""
    network.eval()
    tensors = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    images = torch.empty(1, network.input.channels, network.input.height, network.input.width, device="meta")
    raw: list[Tensor] = functional_call(network, tensors, images)
    for index, each in zip(network.outputs, raw, strict=True):
        expected = network.shapes[index] if network.heads == () else network.input_shapes(index)[0]
        if index >= 0 and each.numel() != np.prod(expected):
            raise AssertionError(f"layer {index} gives {tuple(each.shape)}, building said {expected}")


def weights_files(folder: Path) -> Reading:
    network = small_network()
    contents = []
    for ending in (".weights", ".safetensors"):
        save_weights(network, folder / f"whole{ending}")
        contents.append((ending, (folder / f"whole{ending}").read_bytes()))
    return contents, partial(load_weights, network)


def xml_files(_folder: Path) -> Reading:
    boxes = "".join(
        f"<object><name>c{n % 2}</name><difficult>0</difficult><bndbox><xmin>{n}</xmin><ymin>{n}</ymin>"
        f"<xmax>{n + 20}</xmax><ymax>{n + 30}</ymax></bndbox></object>"
        for n in range(1, 8)
    )
    size = "<size><width>64</width><height>64</height><depth>3</depth></size>"
    text = f"<annotation><filename>a.jpg</filename>{size}{boxes}</annotation>"
    return [(".xml", text.encode())], read_annotation_parts


def coco_files(_folder: Path) -> Reading:
    boxes = ",".join(
        f'{{"id":{n},"image_id":1,"category_id":{n % 2 + 1},"bbox":[{n},{n},9,9],"area":81,"iscrowd":0}}'
        for n in range(1, 9)
    )
    text = (
        '{"images":[{"id":1,"file_name":"a.jpg","width":64,"height":64}],"categories":[{"id":1,"name":"c0"},'
        f'{{"id":2,"name":"c1"}}],"annotations":[{boxes}]}}'
    )
    return [(".json", text.encode())], read_coco


def label_files(_folder: Path) -> Reading:
    text = "".join(f"{n % 2} 0.{n}5 0.5 0.1 0.2\n" for n in range(9))
    return [(".txt", text.encode())], lambda path: read_rows(path, CLASSES)


def encoded(ending: str) -> bytes:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return cv2.imencode(ending, cv2.GaussianBlur(image, (9, 9), 0))[1].tobytes()


def image_files(_folder: Path) -> Reading:
    return [(e, encoded(e)) for e in (".jpg", ".png")], lambda path: read_image(path, 3, ignore_remark)
