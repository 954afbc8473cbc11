"""The size of the code for a reader: files that run for one image, one batch and one report; folders; names; start-up.

The files of yolo/ of which at least one function is called (importing a module calls none) while a yolo.Detector
and tools/detect.py look at one image, tools/train.py takes two steps and tools/evaluate.py writes a report, on a
data set drawn for the purpose. Start-up: medians of five runs, also as differences from `import torch`.

example:
  python benchmarks/reading_path.py
"""

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
CFG = "cfg/shapes.cfg"
RUNS = 5
TRACER = """
import atexit, json, os, sys, threading
root, out = os.environ["TRACE_ROOT"], os.environ["TRACE_OUT"]
seen = set()
def note(frame, event, _):
    if event == "call" and frame.f_code.co_flags & 1:  # functions; modules and bodies of classes are not optimized
        seen.add(frame.f_code.co_filename)
def write():
    sys.setprofile(None)
    files = sorted(name for name in seen if name.startswith(root))
    with open(f"{out}/{os.getpid()}.json", "w") as file:
        json.dump(files, file)
atexit.register(write)
threading.setprofile(note)
sys.setprofile(note)
"""
DETECT = """
import sys
import cv2, sitecustomize, yolo
cfg, weights, names, path = sys.argv[1:]
network = yolo.Network.from_cfg(cfg)
yolo.load_weights(network, weights)
detector, image = yolo.Detector(network, yolo.read_names(names)), cv2.imread(path)
sitecustomize.seen.clear()  # of what was called to make the detector
detector(image, "bgr")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=PROJECT, help="checkout to measure")
    parser.add_argument("--no-start-up", action="store_true", help="leave out what takes minutes")
    args = parser.parse_args()
    project = args.project.resolve()
    sizes(project)
    names(project)
    print(f"import depth: {import_depth(project)}")
    with tempfile.TemporaryDirectory() as folder:
        traces(project, Path(folder))
        if not args.no_start_up:
            start_up(project, Path(folder))


def sizes(project: Path) -> None:
    """Print files and lines of each folder of yolo/."""
    lines: dict[str, list[int]] = defaultdict(list)
    for path in modules(project):
        folder = path.parent.relative_to(project).as_posix()
        lines[folder].append(path.read_text().count("\n"))
    for folder, counts in sorted(lines.items()):
        print(f"{folder:28} {len(counts):3} files {sum(counts):6} lines")
    every = [count for counts in lines.values() for count in counts]
    largest = max(lines, key=lambda folder: len(lines[folder]))
    print(f"yolo/: {len(every)} files, {sum(every)} lines; largest folder {largest}: {len(lines[largest])}")
    for folder in ("tools", "tests", "benchmarks"):
        found = [path.read_text().count("\n") for path in (project / folder).rglob("*.py")]
        print(f"{folder}/: {len(found)} files, {sum(found)} lines")


def names(project: Path) -> None:
    """Print how many public functions and classes there are, and how many are defined twice."""
    homes = Counter()
    for path in modules(project):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name] += node.name != "main"
    twice = sorted(name for name, count in homes.items() if count > 1)
    print(f"public functions and classes: {len(homes)}, defined twice: {len(twice)} {twice}")


def import_depth(project: Path) -> int:
    """Modules on the longest chain of imports inside yolo/, imports inside functions left out."""
    known = {dotted(project, path): path for path in modules(project)}
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            used = set()
            for node in ast.parse(known[name].read_text()).body:
                if isinstance(node, ast.ImportFrom) and node.module:
                    used |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
            depths[name] = 1 + max((depth(each) for each in used & set(known)), default=0)
        return depths[name]

    return max(map(depth, known))


def traces(project: Path, folder: Path) -> None:
    """Print how many files of yolo/ run for one image, two training steps and one report."""
    run(project, "tools/make_shapes.py", "--out", folder / "shapes", "--train", 4, "--valid", 4)
    sets = "--train", f"{folder}/shapes:train", "--valid", f"{folder}/shapes:val"
    run(project, "tools/convert_voc.py", *sets, "--out", folder / "data")
    data = folder / "data" / "voc.data"
    steps = "--max-batches", 2, "--workers", 0, "--set", "batch=4", "subdivisions=1", "--out", folder / "run"
    train = ("tools/train.py", "--cfg", CFG, "--data", data, *steps)
    files = traced(project, folder, *train)
    report("one batch (train.py, two steps, scored once)", files)
    print("\n".join(f"  {file}" for file in files))
    weights = folder / "run" / "shapes_last.weights"
    image = (folder / "data" / "valid.txt").read_text().split()[0]
    names_file = folder / "data" / "voc.names"
    files = traced(project, folder, "-c", DETECT, CFG, weights, names_file, image)
    report("one image (yolo.Detector, of an array)", files)
    print("\n".join(f"  {file}" for file in files))
    detect = ("tools/detect.py", "--cfg", CFG, "--weights", weights, "--names", names_file)
    files = traced(project, folder, *detect, image, "--out", folder / "out")
    report("one image (detect.py)", files)
    print("\n".join(f"  {file}" for file in files))
    evaluate = ("tools/evaluate.py", "--cfg", CFG, "--weights", weights, "--data", data, "--workers", 0)
    files = traced(project, folder, *evaluate, "--report", folder / "report")
    report("one report (evaluate.py --report)", files)


def report(what: str, files: list[str]) -> None:
    print(f"files that run for {what}: {len(files)}")


def traced(project: Path, folder: Path, *command: object) -> list[str]:
    """The files of yolo/ of which a function is called, in any process of a command."""
    site, out = folder / "site", Path(tempfile.mkdtemp(dir=folder))
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(TRACER)
    more = {
        "PYTHONPATH": f"{site}:{project}",
        "TRACE_ROOT": f"{project / 'yolo'}/",
        "TRACE_OUT": str(out),
    }
    run(project, *command, **more)
    files = {file for trace in out.glob("*.json") for file in json.loads(trace.read_text())}
    return sorted(Path(file).relative_to(project).as_posix() for file in files)


def start_up(project: Path, folder: Path) -> None:
    """Print medians of the time that commands take before they do anything."""
    weights, names_file = folder / "run" / "shapes_last.weights", folder / "data" / "voc.names"
    image = (folder / "data" / "valid.txt").read_text().split()[0]
    torch = median(project, "-c", "import torch")
    print(f"import torch: {torch:.2f} s")
    for tool in sorted((project / "tools").glob("*.py")):
        print(f"tools/{tool.name} --help: {median(project, tool, '--help'):.2f} s")
    detect = (
        project / "tools" / "detect.py",
        "--cfg",
        CFG,
        "--weights",
        weights,
        "--names",
        names_file,
        image,
    )
    seconds = median(project, *detect)
    print(f"detect.py on one image: {seconds:.2f} s, {seconds - torch:+.2f} s beside import torch")


def median(project: Path, *command: object) -> float:
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run(project, *command)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def run(project: Path, *command: object, **environment: str) -> None:
    words = [sys.executable, *map(str, command)]
    more = {"PYTHONPATH": str(project), **environment}
    done = subprocess.run(words, cwd=project, env={**os.environ, **more}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr[-2000:]}")


def modules(project: Path) -> list[Path]:
    return [path for path in (project / "yolo").rglob("*.py") if path.name != "__init__.py"]


def dotted(project: Path, path: Path) -> str:
    return ".".join(path.relative_to(project).with_suffix("").parts)


if __name__ == "__main__":
    main()
