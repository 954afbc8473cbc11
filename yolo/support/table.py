"""The support table in Markdown: the keys of each section, with their defaults and meanings.

Keys and defaults are those that the builders read from a small cfg of each kind; the texts are in `meanings.py`.
"""

from collections.abc import Iterable, Iterator

from yolo.cfg import KeySpec, parse_cfg
from yolo.model.builders import BUILDERS, UNSUPPORTED
from yolo.model.building import MUST_BE_ZERO
from yolo.model.layers.activations import ACTIVATIONS
from yolo.model.network import build
from yolo.schedule import POLICIES
from yolo.support.meanings import EVERY_LAYER, MEANINGS, SECTIONS, UNREAD

TITLE = """# What is supported

Generated from the code by `python tools/support_table.py`; a test keeps it up to date. A section that is not listed is
an error that names its line. A key that is not listed has no effect; a warning names its line. Defaults are AlexeyAB's.
"""

# A cfg is IMAGE and one section without keys, or the text here. Every builder reads all its keys.
IMAGE = "[net]\nwidth=8\nheight=8\nchannels=4\n"
EXAMPLES: dict[str, str] = {
    "net": "[activation]\n",
    "maxpool": "[maxpool]\nstride=2\n",
    "local_avgpool": "[local_avgpool]\nstride=2\n",
    "shortcut": "[activation]\n[activation]\n[shortcut]\nfrom=-2\n",
    "route": "[activation]\n[route]\nlayers=-1\n",
    "reorg": "[reorg]\nstride=2\n",
    "scale_channels": "[activation]\n[avgpool]\n[scale_channels]\nfrom=0\n",
    "sam": "[activation]\n[activation]\n[sam]\nfrom=-2\n",
    "yolo": "[convolutional]\nfilters=25\n[yolo]\n",
    "Gaussian_yolo": "[convolutional]\nfilters=29\n[Gaussian_yolo]\n",
    "region": "[convolutional]\nfilters=25\n[region]\n",
    "detection": "[connected]\noutput=294\n[detection]\ncoords=4\n",
}

# Defaults that depend on other keys; the code gives only their value in the example.
DERIVED = {
    ("maxpool", "size"): "stride",
    ("local_avgpool", "size"): "stride",
    ("maxpool", "padding"): "size - 1",
    ("local_avgpool", "padding"): "size - 1",
    ("yolo", "mask"): "all",
    ("Gaussian_yolo", "mask"): "all",
    ("yolo", "anchors"): ".5 each",
    ("Gaussian_yolo", "anchors"): ".5 each",
    ("region", "anchors"): ".5 each",
    ("net", "min_crop"): "width",
    ("net", "max_crop"): "2 x width",
}

HEADER = ("| key | value | default | what it does |", "|---|---|---|---|")


def key_specs(kind: str) -> dict[str, KeySpec]:
    """Return how the code reads each key of a section of `kind`."""
    sections = parse_cfg(IMAGE + EXAMPLES.get(kind, f"[{kind}]\n"), kind)
    build(sections)
    section = sections[0] if kind == "net" else sections[-1]
    return section.read_keys


def support_table() -> str:
    """Return the whole page. Raises KeyError for a key without a text in `meanings.py`."""
    found = {key: spec for key, spec in key_specs("empty").items() if key in EVERY_LAYER}
    every_layer = ["## Every section but [net]\n", *HEADER, *_rows("empty", found)]
    unsupported = ["## Not supported\n", "| section | what it is |", "|---|---|"]
    unsupported += [f"| `[{kind}]` | {what} |" for kind, what in UNSUPPORTED.items()]
    parts = [
        TITLE,
        f"## Activations\n\n{_quoted(ACTIVATIONS)}.\n",
        f"## Learning rate policies\n\n{_quoted(POLICIES)}.\n",
        _kind_table("net"),
        "\n".join(every_layer) + "\n",
        *(_kind_table(kind) for kind in SECTIONS if kind != "net"),
        "\n".join(unsupported) + "\n",
        _unread(),
    ]
    return "\n".join(parts)


def aliases(kind: str) -> list[str]:
    """Return the other names of a kind: those with the same builder."""
    return [name for name, builder in BUILDERS.items() if builder is BUILDERS.get(kind) and name != kind]


def _kind_table(kind: str) -> str:
    others = "".join(f", [{name}]" for name in aliases(kind))
    lines = [f"## [{kind}]{others}\n", f"{SECTIONS[kind]}\n"]
    found = key_specs(kind)
    if kind != "net":
        found = {key: spec for key, spec in found.items() if key not in EVERY_LAYER}
    lines += [*HEADER, *_rows(kind, found)] if found else ["No keys of its own."]
    return "\n".join(lines) + "\n"


def _rows(kind: str, found: dict[str, KeySpec]) -> Iterator[str]:
    for key, spec in found.items():
        if spec.form.startswith(MUST_BE_ZERO):
            continue
        form = "a name" if key in ("activation", "policy") else spec.form
        default = DERIVED.get((kind, key)) or _default(spec.default)
        yield f"| `{key}` | {form} | {default} | {MEANINGS[kind][key]} |"
    for key, spec in found.items():
        if spec.form.startswith(MUST_BE_ZERO):
            reason = spec.form.removeprefix(MUST_BE_ZERO)
            yield f"| `{key}` | 0 | 0 | any other value is an error: {reason} |"


def _default(default: object) -> str:
    if default is None:
        return "required"
    if default in ((), "", float("inf")):
        return "none"
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def _unread() -> str:
    lines = ["## Read by Darknet, not read here\n", "| section | keys | subject |", "|---|---|---|"]
    for kind, groups in UNREAD.items():
        name = f"`[{kind}]`" if kind in SECTIONS else kind
        lines += [f"| {name} | {_quoted(keys.split(', '))} | {what} |" for keys, what in groups.items()]
    return "\n".join(lines) + "\n"


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
