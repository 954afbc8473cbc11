"""What pyproject.toml cannot say: cfg/ and data/ become packages of the wheel, so that commands find their files by name."""

from setuptools import find_packages, setup

SHIPPED = {"yolo.shipped_cfgs": "cfg", "yolo.shipped_names": "data"}

setup(
    packages=[*find_packages(include=["yolo*"]), *SHIPPED],
    package_dir=SHIPPED,
    package_data={"yolo.shipped_cfgs": ["*.cfg"], "yolo.shipped_names": ["*.names"]},
)
