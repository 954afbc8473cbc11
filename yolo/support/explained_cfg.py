"""Explain a cfg key by key, as lines of text: the meaning of each key, what each layer computes, what is ignored.

A key is explained where it first occurs in a kind of section. For a later section of the kind, the lines give the
differences from an earlier one. Repeated blocks of layers are counted.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from yolo.cfg import Entry, Section, read_cfg
from yolo.errors import counted
from yolo.model.builders import BUILDERS
from yolo.model.building import MUST_BE_ZERO, Shape, stored_tensors
from yolo.model.network import Network, build
from yolo.model.summary import BILLION, MIN_SHOWN, layer_rows
from yolo.support.computing import what_layer_computes, what_training_does
from yolo.support.meanings import ACTIVATION_FORMULAS, EVERY_LAYER, MEANINGS, NEEDS, SECTIONS, UNREAD

INDENT = "  "
WIDEST_KEY = 26  # characters of the column of `key=value`; a longer one has a line of its own
LONGEST_BLOCK = 12  # layers that are compared with those before them
LEAST_FOLDED = 2  # layers; to fold one would save no line
UNKNOWN = "(unknown: nothing reads it)"
MOST_COMPARED = 500  # earlier layers of a kind, the last ones: more than the longest published cfg has layers
MOST_SUGGESTIONS = 1000  # unknown keys that are compared with all known ones, which takes 0.3 ms for each


@dataclass(frozen=True)
class Layer:
    """A section of a layer and its module.

    values: of the keys that count, the first ones. signature: equal for layers that are the same.
    """

    index: int
    section: Section
    values: dict[str, str]
    kind: str
    input: Shape
    output: Shape
    stored: int
    operations: float
    signature: tuple


@dataclass
class Explained:
    """What is explained so far.

    keys: of a kind, with their value if it has a meaning of its own. unknown: how many keys were unknown.
    """

    keys: set[tuple[str, ...]] = field(default_factory=set)
    layers: list[Layer] = field(default_factory=list)
    unknown: int = 0


def explain_cfg(path: str | Path, width: int, dialect: str = "alexeyab") -> list[str]:
    """Return the lines that explain a cfg, at most `width` characters each, unless a word is longer.

    Raises:
        CfgError: the cfg cannot become a network, with file, line and key.
    """
    sections = read_cfg(path)
    network, _ = build(sections, dialect=dialect)
    layers = _layers(network, sections)
    explained = Explained()
    lines = [*_opening(path, layers, width), "", *_net(sections[0], network, explained, width)]
    at = 0
    while at < len(layers):
        block, times = _repetition(layers, at)
        if times:
            lines += ["", *_wrapped(_folded(layers, at, block, times), width)]
            at += block * times
            continue
        lines += ["", *_layer(layers[at], network, explained, width)]
        explained.layers.append(layers[at])
        at += 1
    return [*lines, "", *_wrapped(_without_effect(sections), width)]


def _layers(network: Network, sections: Sequence[Section]) -> list[Layer]:
    found = []
    for index, (section, rows) in enumerate(zip(sections[1:], layer_rows(network), strict=True)):
        inputs = network.input_shapes(index)
        entries = tuple((entry.key, entry.value) for entry in section.entries)
        distances = tuple(source - index for source in network.sources[index])
        found.append(
            Layer(
                index=index,
                section=section,
                values=_values(section),
                kind=section_kind(section.kind),
                input=inputs[0],
                output=network.shapes[index],
                stored=sum(tensor.numel() for _, tensor in stored_tensors(network.layers[index])),
                operations=rows[0].operations,
                signature=(section.kind, entries, distances, inputs, network.shapes[index]),
            )
        )
    return found


def section_kind(name: str) -> str:
    """Return the name of a section in the support table: [conn] is a [connected], [network] is [net]."""
    if name in SECTIONS:
        return name
    return next((kind for kind in SECTIONS if BUILDERS.get(kind) is BUILDERS.get(name)), "net")


def _opening(path: str | Path, layers: Sequence[Layer], width: int) -> list[str]:
    count = Counter(layer.section.kind for layer in layers)
    kinds = ", ".join(f"{number} {kind}" for kind, number in count.most_common())
    total = sum(layer.operations for layer in layers)
    stored = sum(layer.stored for layer in layers)
    text = (
        f"{path}: {counted(len(layers), 'layer')} ({kinds}) with {stored:,} stored numbers and {_billions(total)} "
        "for an image. Sizes are width x height x channels. Layers are numbered as in `summary`, from 0 without [net]."
    )
    return _wrapped(text, width)


def _net(net: Section, network: Network, explained: Explained, width: int) -> list[str]:
    size = f"{network.input.width} x {network.input.height} x {network.input.channels}"
    return [
        *_wrapped(f"[net], {_place(net)}: input {size}", width),
        *_wrapped(f"{SECTIONS['net']} {what_training_does(network.training_settings)}", width, INDENT),
        *_keys(net, "net", net.entries, explained, width),
        *_not_given(net, "net", width),
    ]


def _layer(layer: Layer, network: Network, explained: Explained, width: int) -> list[str]:
    first = next((each for each in explained.layers if each.kind == layer.kind), None)
    title = f"layer {layer.index} [{layer.section.kind}], {_place(layer.section)}: {_size(layer.input)}"
    title += f" -> {_size(layer.output)}"
    if layer.operations / BILLION >= MIN_SHOWN:
        title += f", {_billions(layer.operations)}"
    computes = what_layer_computes(network, layer.index)
    if first is None:
        return [
            *_wrapped(title, width),
            *_wrapped(f"{SECTIONS[layer.kind]} {computes}", width, INDENT),
            *_keys(layer.section, layer.kind, layer.section.entries, explained, width),
            *_not_given(layer.section, layer.kind, width),
        ]
    difference, changed = _difference(layer, explained.layers)
    new = [entry for entry in changed if _explained_as(layer.kind, entry) not in explained.keys]
    return [
        *_wrapped(title, width),
        *_wrapped(" ".join(filter(None, (computes, difference))), width, INDENT),
        *_keys(layer.section, layer.kind, new, explained, width),
    ]


def _difference(layer: Layer, earlier: Sequence[Layer]) -> tuple[str, list[Entry]]:
    """Return in words how the keys of a layer differ from the most similar earlier one, and the keys that do."""
    values = layer.values
    others = [each for each in earlier if each.kind == layer.kind][-MOST_COMPARED:]
    nearest = min(others, key=lambda each: (len(_unequal(values, each.values)), each.index))
    unequal = _unequal(values, nearest.values)
    repeated = set(layer.section.unread())
    changed = [entry for entry in layer.section.entries if entry.key in unequal or entry in repeated]
    if not unequal:
        return (f"Keys as in layer {nearest.index}." if values else ""), changed
    words = [f"{key}={values[key]}" for key in values if key in unequal]
    words += [f"no {key}" for key in sorted(unequal - values.keys())]
    return f"Keys as in layer {nearest.index}, but {', '.join(words)}.", changed


def _values(section: Section) -> dict[str, str]:
    """Return the value of each key that counts: the first one."""
    values: dict[str, str] = {}
    for entry in section.entries:
        values.setdefault(entry.key, entry.value)
    return values


def _unequal(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {key for key, _ in one.items() ^ other.items()}


def _repetition(layers: Sequence[Layer], at: int) -> tuple[int, int]:
    """Return how many layers before `at` are repeated from there on, and how often; the most layers, or (0, 0)."""
    best = (0, 0)
    for block in range(1, min(LONGEST_BLOCK, at) + 1):
        same = 0
        while at + same < len(layers) and layers[at + same].signature == layers[at + same - block].signature:
            same += 1
        times = same // block
        if block * times >= LEAST_FOLDED and block * times > best[0] * best[1]:
            best = block, times
    return best


def _folded(layers: Sequence[Layer], at: int, block: int, times: int) -> str:
    end = at + block * times
    lines = f"lines {layers[at].section.line} to {_last_line(layers[end - 1].section)}"
    what = f"layers {at - block} to {at - 1}" if block > 1 else f"layer {at - 1}"
    again = "once more" if times == 1 else f"{times} more times"
    stored = sum(layer.stored for layer in layers[at:end])
    operations = sum(layer.operations for layer in layers[at:end])
    costs = f", {_billions(operations)}" if operations / BILLION >= MIN_SHOWN else ""
    return f"layers {at} to {end - 1}, {lines}: {what}, {again}; {stored:,} stored numbers{costs} in these."


def _keys(section: Section, kind: str, entries: Sequence[Entry], explained: Explained, width: int) -> Iterator[str]:
    """Yield the lines of some keys of a section, in two columns, and note that they are explained."""
    column = max((len(f"{entry.key}={entry.value}") for entry in entries), default=0)
    column = min(column, WIDEST_KEY)
    for entry in entries:
        given = f"{entry.key}={entry.value}"
        explained.keys.add(_explained_as(kind, entry))
        blank = " " * (len(INDENT) + column + 2)
        meaning = key_meaning(section, entry)
        if meaning == UNKNOWN:
            explained.unknown += 1
            meaning += _suggestion(section, entry.key) if explained.unknown <= MOST_SUGGESTIONS else ""
        words = _wrapped(meaning, width, blank)
        if len(given) > column:
            yield from _wrapped(given.replace(",", ", "), width, INDENT)
            yield from words
            continue
        yield f"{INDENT}{given:<{column}}  {words[0].lstrip()}"
        yield from words[1:]


def _explained_as(kind: str, entry: Entry) -> tuple[str, ...]:
    return (kind, entry.key, entry.value) if entry.key == "activation" else (kind, entry.key)


def key_meaning(section: Section, entry: Entry) -> str:
    """Return what a key of a section means, and before it whether it is ignored, unknown or the default.

    The section's network has to be built, because the builder says which keys it reads.
    """
    kind = section_kind(section.kind)
    counts = section.first(entry.key)
    if entry is not counts:
        return f"(ignored: line {counts.line} has the key already)"
    spec = section.read_keys.get(entry.key)
    if spec is None:
        return _unread_key(kind, entry.key)
    if spec.form.startswith(MUST_BE_ZERO):
        return f"(default) must be 0: {spec.form.removeprefix(MUST_BE_ZERO)}"
    meaning = MEANINGS[kind][entry.key]
    if entry.key == "activation":
        meaning = ACTIVATION_FORMULAS[entry.value]
    needed = _missing_need(section, kind, entry.key)
    if needed:
        return f"(ignored: needs {needed}) {meaning}"
    return f"(default) {meaning}" if _is_default(entry.value, spec.default) else meaning


def _unread_key(kind: str, key: str) -> str:
    for group in (kind, "every layer") if kind != "net" else (kind,):
        for keys, subject in UNREAD.get(group, {}).items():
            if key in keys.split(", "):
                return f"(ignored here) Darknet reads it: {subject}"
    return UNKNOWN


def _suggestion(section: Section, key: str) -> str:
    close = get_close_matches(key, section.read_keys, n=1)
    return f" did you mean {close[0]}?" if close else ""


def _missing_need(section: Section, kind: str, key: str) -> str:
    """Return which other value a key needs to count, "" if it counts."""
    needs = NEEDS.get((kind, key), {})
    for other, wanted in needs.items():
        spec, given = section.read_keys.get(other), section.first(other)
        value = given.value if given else "" if spec is None else str(spec.default)
        number = _number(value)
        if value in wanted or (number == 0 and "0" in wanted) or (number not in (0, None) and "!0" in wanted):
            return ""
    return " or ".join(
        f"{other}=1" if wanted == ("!0",) else f"{other}={' or '.join(wanted)}" for other, wanted in needs.items()
    )


def _is_default(value: str, default: object) -> bool:
    """Return whether the text of a value is a key's default, as a number, numbers or a word."""
    if isinstance(default, tuple):
        items = [_number(item) for item in value.split(",")]
        return items == list(default)
    if isinstance(default, int | float):
        return _number(value.partition("#")[0]) == default
    return default is not None and value == default


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _not_given(section: Section, kind: str, width: int) -> list[str]:
    """Return the keys that the section does not have, with their defaults."""
    given = {entry.key for entry in section.entries}
    left = [
        f"{key}={_shown(spec.default)}"
        for key, spec in section.read_keys.items()
        if key not in given
        and not spec.form.startswith(MUST_BE_ZERO)
        and (kind == "net" or key not in EVERY_LAYER)
        and spec.default not in ((), "", math.inf)
        and not _missing_need(section, kind, key)
    ]
    return _wrapped(f"not given, so the default: {', '.join(left)}", width, INDENT) if left else []


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(int(default) if default in (True, False) else default)


def _without_effect(sections: Sequence[Section]) -> str:
    unread = [set(section.unread()) for section in sections]
    useless = [
        entry
        for section, unread_entries in zip(sections, unread, strict=True)
        for entry in section.entries
        if entry in unread_entries or _missing_need(section, section_kind(section.kind), entry.key)
    ]
    if not useless:
        return "Every key of this cfg is read."
    return f"Keys without effect: {', '.join(map(str, useless))}."


def _place(section: Section) -> str:
    last = _last_line(section)
    return f"lines {section.line} to {last}" if last > section.line else f"line {section.line}"


def _last_line(section: Section) -> int:
    return max((entry.line for entry in section.entries), default=section.line)


def _size(shape: Shape) -> str:
    channels, height, width = shape
    return f"{width} x {height} x {channels}"


def _billions(operations: float) -> str:
    return f"{operations / BILLION:.3f} BFLOPs"


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    hanging = indent or INDENT
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False)
