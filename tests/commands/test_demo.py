"""tools/demo.sh: its network fits its data, and it deletes only its own files."""

import subprocess
from pathlib import Path

from yolo.model.network import Network
from yolo.model.weights import load_weights, save_weights


def test_the_demos_network_fits_the_demos_data(project, tmp_path):
    network = Network.from_cfg(project / "cfg" / "shapes.cfg")
    assert (network.input.height, network.input.width) == (128, 160)
    assert {network.layers[head].classes for head in network.heads} == {3}
    save_weights(network, tmp_path / "a.weights")
    assert load_weights(network, tmp_path / "a.weights").seen == 0


def test_the_demo_removes_only_what_it_makes(project, tmp_path):
    """PY=false ends the script at its first command."""
    (tmp_path / "demo" / "shapes").mkdir(parents=True)
    (tmp_path / "demo" / "mine.txt").write_text("kept")
    done = subprocess.run(
        ["sh", project / "tools/demo.sh", tmp_path / "demo"],
        env={"PY": "false", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode != 0
    assert [path.name for path in Path(tmp_path / "demo").iterdir()] == ["mine.txt"]
