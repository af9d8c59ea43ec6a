"""The artifact: one ``.onnx`` file that carries its manifest in its own metadata.

Reading one needs onnxruntime and nothing else. Its graph takes ``images`` float32 (N, 1, crop_px, crop_px),
as :func:`mien.preprocess.to_input` makes them, and gives ``logits`` float32 (N, classes) and ``features`` float32
(N, D), the vectors that the last layer sees.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mien.errors import ModelError
from mien.files import write_bytes
from mien.preprocess import InputSpec

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SCHEMA_VERSION = 1
INT8 = "-int8"
"""After a model's name: its int8 form."""

_KEY = "mien.manifest"


class Manifest(BaseModel):
    """What a model is, where it comes from, and what was measured of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    name: str
    classes: tuple[str, ...] = Field(min_length=2)
    input: InputSpec
    parameters: int = Field(description="trainable numbers")
    precision: Literal["fp32", "fp16", "int8"] = Field(
        default="fp32", description="fp16: weights are stored so, and computed with in fp32"
    )
    recipe: dict[str, Any] = Field(description="the whole recipe that it was trained by")
    recipe_digest: str
    data_fingerprint: str = Field(description="of the faces it was trained and validated on")
    cleaned_from: tuple[str, ...] = Field(
        default=(), description="likewise of the data as it was before a list of changes; empty where none was applied"
    )
    taught_by: tuple[str, ...] = Field(default=(), description="SHA-256 of what its teachers said, or of themselves")
    epoch: int = Field(description="the epoch whose weights these are")
    scores: dict[str, float] = Field(default_factory=dict, description="e.g. validation_accuracy, a share")
    temperature: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="logits are divided by it before the softmax"
    )
    licence: str = "MIT"
    mien_version: str
    created: str = Field(description="UTC, ISO 8601")

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("a class is named twice")
        return classes

    @property
    def full_name(self) -> str:
        """The name, which all forms of a model share, with :data:`INT8` after that of the int8 form."""
        return f"{self.name}{INT8}" if self.precision == "int8" else self.name


def stay_offline() -> None:
    """Keep onnxruntime from reporting to its maker. To be called before it is imported.

    From 1.29 on it would write an identifier of the machine into the user's cache and send what sessions do. Its own
    ``disable_telemetry_events`` comes too late: importing it is enough. Who sets the variable decides otherwise.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def read_manifest(path: str | Path) -> Manifest:
    """Read the manifest of a model file. Raises :class:`ModelError`, as :func:`open_model`."""
    return open_model(path)[1]


def open_model(path: str | Path, threads: int | None = None) -> tuple[InferenceSession, Manifest]:
    """Open a model file.

    Args:
        path: the ``.onnx`` file.
        threads: how many threads a prediction may use; None leaves it to onnxruntime.

    Returns:
        The session, on the CPU, and the manifest.

    Raises:
        ModelError: missing, damaged, not mien's, or of a newer schema.
    """
    stay_offline()
    import onnxruntime

    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path} does not exist." if not path.exists() else f"{path} is a folder without a model.")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not _has_int8_dot_product():
        # What an x86 CPU has in its place can overflow. The exact way takes twice as long, on a CPU that has it too.
        options.add_session_config_entry("session.x64quantprecision", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class below Exception
        # Its first line holds the reason; further lines are C++ locations.
        reason = str(error).splitlines()[0][:160]
        raise ModelError(
            f"{path} cannot be opened as an ONNX model: it is something else, damaged or cut off ({reason})."
        ) from None
    manifest = _check(session.get_modelmeta().custom_metadata_map, path)
    crop_px, outputs = manifest.input.crop_px, {output.name: output.shape for output in session.get_outputs()}
    inputs = [(each.name, each.shape[1:]) for each in session.get_inputs()]
    if inputs != [("images", [1, crop_px, crop_px])] or outputs.get("logits", [])[1:] != [len(manifest.classes)]:
        raise ModelError(f"{path}: its graph does not fit its manifest. Export the model again.")
    return session, manifest


def _has_int8_dot_product() -> bool:
    """Whether NumPy found AVX-512 VNNI, part of Ice Lake's set; a CPU with AVX-VNNI alone goes unrecognised."""
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return any(name.startswith(("AVX512_ICL", "AVX512_SPR", "AVX512_VNNI")) for name in found)


def _check(metadata: Mapping[str, str], path: Path) -> Manifest:
    if _KEY not in metadata:
        raise ModelError(
            f"{path} is an ONNX model without mien's manifest, so its classes and preprocessing are not known. "
            f"Score it with your own code and hand mien its scores (docs/scores.md)."
        )
    try:
        content = json.loads(metadata[_KEY])
        version = content["schema_version"]
        newer = version > SCHEMA_VERSION
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ModelError(f"{path}: its manifest is damaged. Export the model again.") from None
    if newer:
        raise ModelError(
            f"{path} was written by a newer mien (manifest schema {version}; this one reads up to {SCHEMA_VERSION}). "
            f"Upgrade with: pip install -U mien"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ModelError(f"{path}: its manifest is damaged at '{where}'. Export the model again.") from None


def attach_manifest(graph: bytes, manifest: Manifest) -> bytes:
    """Put a manifest into a serialised ONNX graph, replacing the one it has. Needs the extra ``train``."""
    import onnx

    model = onnx.load_model_from_string(graph)
    kept = [entry for entry in model.metadata_props if entry.key != _KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=_KEY, value=manifest.model_dump_json())
    content: bytes = model.SerializeToString()
    return content


def replace_manifest(path: Path, manifest: Manifest) -> None:
    """Give a model file another manifest, whole or not at all. Needs the extra ``train``."""
    write_bytes(path, attach_manifest(path.read_bytes(), manifest))
