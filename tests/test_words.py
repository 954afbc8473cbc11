"""The words of code, docs and pages: the standard terms of the field, in American spelling.

docs/log.md is left out, because it is a record, and so are words in quotes, paths and parts of names: these may be keys
and options that programs rely on.
"""

import re
from functools import cache

from tests.conftest import PROJECT

FOLDERS = ("yolo", "tests", "tools", "benchmarks", "docs", "notebooks")
ENDINGS = {".py", ".md", ".jinja", ".css", ".js", ".ipynb"}
LEFT_OUT = {"tests/test_words.py", "docs/log.md"}

# What to write → words that are not used, each in all its forms
TERMS = {
    "image": "picture pictures",
    "null logger, or no warning": "silence silenced",
    "any, every, or a subject": "whatever whoever nobody",
    "reports, prints, lists, returns": "tell tells told",
    "logger": "journal journals",
    "outcome": "verdict verdicts",
    "state": "standing",
    "results, analysis": "findings",
    "gray": "grey greyscale",
    "color": "colour colours coloured",
    "behavior, neighbor, favor": "behaviour neighbour neighbours neighbouring favour",
    "center": "centre centres centred",
    "labeled, modeled, analyzed": "labelled labelling modelled modelling analysed analysing",
}
BRITISH = re.compile(
    "(initiali|maximi|minimi|normali|optimi|organi|quanti|recogni|seriali|summari|visuali)s(e.?|ing|ations?)"
)
# Phrases that are not used → what to write
PHRASES = {
    " shares of ": "fractions of",
    " share of ": "fraction of",
    "shared out": "divided",
    "averaged weights": "EMA of the weights",
    ". So are ": "the subject first",
    ". So is ": "the subject first",
    ". Nor ": "the subject first",
    "Kept are ": "the subject first, such as: Training writes",
    "Tried are ": "the subject first",
}
GROUND_TRUTH = re.compile(r"ground[\s#_-]*truths?", re.IGNORECASE)  # also over a line break
# the word itself, not a key, a path, a part of a name or a method of Python's files
PLAIN = r"""(?<!["'`./\[_~-])(?<!def )\b{}\b(?!["'`/\]_-])"""


@cache
def files():
    """(path in the project, text) of each file."""
    paths = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*") if path.suffix in ENDINGS]
    named = {path.relative_to(PROJECT).as_posix(): path for path in sorted([*paths, *PROJECT.glob("*.md")])}
    return tuple((name, path.read_text("utf-8")) for name, path in named.items() if name not in LEFT_OUT)


def unused_words(text):
    """Return (word, what to write) of the words of a text that are not used."""
    terms = {word: instead for instead, words in TERMS.items() for word in words.split()}
    words = set(re.findall("[a-z]+", text.lower()))
    american = {word: "-iz-" for word in words if BRITISH.fullmatch(word)}
    return sorted((american | {word: terms[word] for word in words & terms.keys()}).items())


def lines_with(text, pattern):
    for number, line in enumerate(text.split("\n"), 1):
        if pattern.search(line) and '"image/png"' not in line:  # an image in the output of a notebook
            yield number, line.strip()[:160]


def test_the_tree_uses_the_terms_of_the_field():
    wrong = []
    for name, text in files():
        patterns = [(re.compile(PLAIN.format(word), re.IGNORECASE), instead) for word, instead in unused_words(text)]
        patterns += [(re.compile(re.escape(phrase)), instead) for phrase, instead in PHRASES.items() if phrase in text]
        for pattern, instead in patterns:
            wrong += [f"{name}:{at}: {line}: expected {instead}" for at, line in lines_with(text, pattern)]
    assert not wrong, "\n".join(wrong)


def test_labeled_boxes_are_ground_truth():
    pattern, wrong = re.compile(PLAIN.format("truths?"), re.IGNORECASE), []
    for name, text in files():
        if "truth" in text.lower():
            wrong += [f"{name}:{at}: {line}" for at, line in lines_with(GROUND_TRUTH.sub("", text), pattern)]
    assert not wrong, "expected ground truth:\n" + "\n".join(wrong)
