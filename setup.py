"""What pyproject.toml cannot express: cfg/, data/ and weights/ become packages of the wheel, beside those that are
found."""

from setuptools import find_packages, setup

SHIPPED = {
    "yolo.shipped_cfgs": "cfg",
    "yolo.shipped_names": "data",
    "yolo.shipped_weights": "weights",
}

setup(packages=[*find_packages(include=["yolo*"]), *SHIPPED], package_dir=SHIPPED)
