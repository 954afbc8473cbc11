"""Write and run the kinds of exported files: ONNX, OpenVINO IR, torch.export and TorchScript, by ending."""

import errno
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from pickle import PickleError
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from yolo.engines.onnx_file import INPUT_NAME, onnx_metadata, open_onnx, run_onnx, write_onnx
from yolo.engines.open_vino import openvino_core, openvino_options
from yolo.engines.shapes import RECORDING, Runner, RunnerPool
from yolo.errors import ExportError, WeightsError
from yolo.extras import import_extra
from yolo.files.text import escaped_text
from yolo.files.writing import replacing

ONNX, OPENVINO, TORCH_EXPORT, TORCHSCRIPT = ENDINGS = (".onnx", ".xml", ".pt2", ".torchscript")
RT_INFO = "yolo-darknet"  # section of the metadata in OpenVINO's IR
TORCH_METADATA = "config.txt"  # the name that ultralytics' programs read in TorchScript files
# What torch raises for files that are damaged, or made to do harm
TORCH_ERRORS = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, BadZipFile, EOFError,
    MemoryError, PickleError, SyntaxError,
)  # fmt: skip


@dataclass(frozen=True)
class OpenedFile:
    """An exported file that can be run.

    run: images float32 `[B, C, H, W]` → the outputs, on the CPU. Several threads may call it at the same time.
    """

    metadata: dict[str, str]
    run: Callable[[Tensor], list[Tensor]]


def write_file(
    module: nn.Module,
    images: Tensor,
    path: Path,
    *,
    output_names: Sequence[str],
    opset: int,
    dynamic_batch: bool,
    metadata: Mapping[str, str],
    half: bool,
) -> None:
    """Write a module as the kind of file that the ending of `path` names.

    Args:
        module: In evaluation mode; images → a tuple of tensors.
        images: Traced.
        path: The file, with one of ENDINGS; OpenVINO writes a .bin beside it.
        output_names: One for each output. .pt2 and .torchscript have none.
        opset: Of ONNX.
        dynamic_batch: Whether the file takes any batch size.
        metadata: Texts to store, by name.
        half: OpenVINO only: store the weights as float16. Modules for the other kinds already compute in it.

    Raises:
        ExportError: The ending is unknown.
        MissingPackageError, OSError: as `write_onnx`.
    """
    if path.suffix == ONNX:
        names = {"output_names": output_names, "metadata": metadata}
        write_onnx(module, images, path, opset=opset, dynamic_batch=dynamic_batch, **names)
    elif path.suffix == OPENVINO:
        _write_openvino(module, images, path, output_names, opset, dynamic_batch, metadata, half)
    elif path.suffix == TORCH_EXPORT:
        _write_torch_export(module, images, path, dynamic_batch, metadata)
    elif path.suffix == TORCHSCRIPT:
        _write_torchscript(module, images, path, metadata)
    else:
        raise ExportError(f"{path}: found the ending {path.suffix!r}, expected one of {', '.join(ENDINGS)}")


def _write_openvino(
    module: nn.Module,
    images: Tensor,
    path: Path,
    output_names: Sequence[str],
    opset: int,
    dynamic_batch: bool,
    metadata: Mapping[str, str],
    half: bool,
) -> None:
    """Write OpenVINO's IR by way of an ONNX file, which keeps the names."""
    openvino = import_extra("openvino", "openvino", "writing OpenVINO's IR")
    openvino_core()
    with tempfile.TemporaryDirectory() as folder:
        onnx_path = Path(folder) / "model.onnx"
        write_onnx(
            module, images, onnx_path, output_names=output_names, opset=opset, dynamic_batch=dynamic_batch
        )  # fmt: skip
        model = openvino.convert_model(onnx_path)
    for key, text in metadata.items():
        model.set_rt_info(text, [RT_INFO, key])
    save_openvino(model, path, half)


def save_openvino(model: Any, path: Path, half: bool) -> None:
    """Write an openvino.Model as `path` and a .bin beside it; half: its weights as float16.

    OpenVINO's error has no reason if it cannot write a file. So it writes to the system's temporary folder, and the
    files are copied from there. Raises OSError.
    """
    openvino = import_extra("openvino", "openvino", "writing OpenVINO's IR")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        try:
            openvino.save_model(model, written, compress_to_fp16=half)
        except RuntimeError as error:
            reason = f"OpenVINO cannot write there, perhaps because there is no room: {str(error).splitlines()[-1]}"
            raise OSError(errno.EIO, reason, folder) from error
        for ending in (".bin", OPENVINO):
            with written.with_suffix(ending).open("rb") as source, replacing(path.with_suffix(ending)) as file:
                shutil.copyfileobj(source, file)


def _write_torch_export(
    module: nn.Module, images: Tensor, path: Path, dynamic_batch: bool, metadata: Mapping[str, str]
) -> None:
    shapes = {"images": {0: torch.export.Dim("batch")}} if dynamic_batch else None
    content = BytesIO()  # torch ends the process, or raises an internal error, when the disk is full
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.export about its own parts
        program = torch.export.export(module, (images,), dynamic_shapes=shapes)
        torch.export.save(program, content, extra_files={TORCH_METADATA: json.dumps(dict(metadata))})
    _write_content(path, content)


def _write_torchscript(module: nn.Module, images: Tensor, path: Path, metadata: Mapping[str, str]) -> None:
    content = BytesIO()  # as in _write_torch_export
    with RECORDING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated; and sizes that Python reads are constants on purpose
        traced = torch.jit.trace(module, images, check_trace=False)
        torch.jit.save(traced, content, _extra_files={TORCH_METADATA: json.dumps(dict(metadata))})
    _write_content(path, content)


def _write_content(path: Path, content: BytesIO) -> None:
    with replacing(path) as file:
        file.write(content.getbuffer())


def open_file(path: Path) -> OpenedFile:
    """Open an exported file to run it on the CPU.

    Raises:
        MissingPackageError: The package that runs it is not installed.
        OSError: It cannot be read.
        WeightsError: It is damaged, or its ending is unknown, or its name is not in UTF-8.
    """
    check_name(path, WeightsError)
    with path.open("rb"):  # for the system's own error
        pass
    if path.suffix == ONNX:
        return _open_onnx_file(path)
    if path.suffix == OPENVINO:
        return _open_openvino(path)
    if path.suffix not in ENDINGS:
        raise WeightsError(f"{path}: found the ending {path.suffix!r}, expected one of {', '.join(ENDINGS)}")
    return _open_torch(path)


def check_name(path: Path, error_type: type[ValueError]) -> None:
    """Raise an error if the name of a file is not UTF-8, because the libraries that run exported files need it."""
    if escaped_text(str(path)) != str(path):
        raise error_type(f"{path}: found a name that is not in UTF-8, expected one for a file that other programs open")


def _open_onnx_file(path: Path) -> OpenedFile:
    @cache
    def session_of(threads: int) -> Any:  # several threads may use one at the same time
        return open_onnx(path, threads)

    try:
        metadata = onnx_metadata(session_of(torch.get_num_threads()))
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path}: found metadata that is not UTF-8, expected a file of this program") from error
    return OpenedFile(
        metadata,
        RunnerPool(lambda: partial(run_onnx, session_of(torch.get_num_threads()))),
    )


def _open_openvino(path: Path) -> OpenedFile:
    import_extra("openvino", "openvino", "running OpenVINO's IR")
    core = openvino_core()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "").strip()
        raise WeightsError(f"{path}: found no model that OpenVINO can read: {reason}") from error
    keys = model.get_rt_info([RT_INFO]).value if model.has_rt_info([RT_INFO]) else {}
    metadata = {key: _rt_text(model, key) for key in keys}
    order = [output.get_any_name() for output in model.outputs]

    @cache
    def compiled_for(threads: int) -> Any:
        # float32, as OpenVINO's default on CPUs with bf16 instructions is bf16
        return core.compile_model(model, "CPU", openvino_options("float32", threads))

    def make_runner() -> Runner:
        request = compiled_for(torch.get_num_threads()).create_infer_request()

        def run(images: Tensor) -> list[Tensor]:
            found = request.infer({INPUT_NAME: images.numpy()})
            return [torch.from_numpy(found[name].copy()) for name in order]

        return run

    return OpenedFile(metadata, RunnerPool(make_runner))


def _rt_text(model: Any, key: str) -> str:
    return str(model.get_rt_info([RT_INFO, key]).value)


def _open_torch(path: Path) -> OpenedFile:
    metadata = {TORCH_METADATA: ""}
    opened = _load_export if path.suffix == TORCH_EXPORT else _load_torchscript
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = opened(path, metadata)
        texts = {str(key): str(text) for key, text in json.loads(metadata[TORCH_METADATA] or "{}").items()}
    except TORCH_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: found no file that torch can load: {reason}") from error

    @torch.inference_mode()
    def run(images: Tensor) -> list[Tensor]:
        return list(module(images))

    return OpenedFile(texts, run)


def _load_export(path: Path, metadata: dict[str, str]) -> Callable[[Tensor], tuple[Tensor, ...]]:
    log = logging.getLogger("torch.export")  # it logs a stack trace before it raises the error
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return torch.export.load(path, extra_files=metadata).module()
    finally:
        log.setLevel(level)


def _load_torchscript(path: Path, metadata: dict[str, str]) -> Callable[[Tensor], tuple[Tensor, ...]]:
    module = torch.jit.load(path, _extra_files=metadata)
    metadata[TORCH_METADATA] = _text(metadata[TORCH_METADATA])
    return module


def _text(content: str | bytes) -> str:
    return content.decode() if isinstance(content, bytes) else content
