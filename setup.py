"""What pyproject.toml cannot express: cfg/ and data/ become packages of the wheel, beside those that are found."""

from setuptools import find_packages, setup

SHIPPED = {"yolo.shipped_cfgs": "cfg", "yolo.shipped_names": "data"}

setup(packages=[*find_packages(include=["yolo*"]), *SHIPPED], package_dir=SHIPPED)
