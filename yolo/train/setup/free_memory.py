"""How much memory a device has left: of a GPU, of the machine, and of the container in which the process runs."""

from collections.abc import Iterator
from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
OWN_GROUPS = Path("/proc/self/cgroup")
OWN_SIZE = Path("/proc/self/statm")
CGROUP = Path("/sys/fs/cgroup")
# files of a control group, versions 2 and 1: limit, use, and the rows of memory.stat that say how much of the use are
# files, which are given up when the memory is needed
VERSION_2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))


def free_bytes(device: torch.device, meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Return the free memory of a device; of a CPU what the process may still take. None where it is not known."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type != "cpu":
        return None
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    return max(0, min([free, *_free_in_groups(cgroup), *_free_by_ulimit()]))


def _free_in_groups(root: Path) -> Iterator[int]:
    """Yield what each control group with a limit still allows: the process's own, and those above it."""
    folders = [(root, VERSION_2)]  # in a container, its own group is usually the root
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folders += _upward(root, path, VERSION_2)
        elif "memory" in controllers.split(","):
            folders += _upward(root / "memory", path, VERSION_1)
    for folder, (limit, used, cached) in folders:
        try:
            rows = _rows(folder / "memory.stat")
            files = sum(rows.get(name, 0) for name in cached)
            yield int((folder / limit).read_text()) - int((folder / used).read_text()) + files
        except (OSError, ValueError):  # not there, or "max": no limit
            continue


def _upward(root: Path, path: str, files: tuple) -> list[tuple[Path, tuple]]:
    own = root / path.strip("/")
    return [(folder, files) for folder in (own, *own.parents) if folder.is_relative_to(root)]


def _rows(path: Path) -> dict[str, int]:
    try:
        return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}
    except (OSError, ValueError):
        return {}


def _free_by_ulimit() -> list[int]:
    """Return what `ulimit -v` still allows, if it sets a limit."""
    try:
        import resource  # not on Windows

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = int(OWN_SIZE.read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return []
    return [] if limit == resource.RLIM_INFINITY else [limit - used]
