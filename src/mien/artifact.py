"""The artifact: one ``.onnx`` file that carries its manifest in its own metadata.

Reading one needs onnxruntime and nothing else. Its graph takes ``images`` float32 (N, channels, crop_px, crop_px),
as :func:`mien.preprocess.to_input` makes them, and gives ``logits`` float32 (N, classes) and ``features`` float32
(N, D), the vectors that the last layer sees. A model with several outputs has ``logits_<name>`` for each further one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import ModelError
from mien.files import write_bytes
from mien.manifest import MANIFEST_KEY, Manifest, parse_manifest

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def stay_offline() -> None:
    """Keep onnxruntime from reporting to its maker. To be called before it is imported.

    From 1.29 on it would write an identifier of the machine into the user's cache and send what sessions do. Its own
    ``disable_telemetry_events`` comes too late: importing it is enough. Who sets the variable decides otherwise.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def read_manifest(path: str | Path) -> Manifest:
    """Read the manifest of a model file. Raises :class:`ModelError`, as :func:`open_model`."""
    return open_model(path)[1]


def open_model(
    path: str | Path, threads: int | None = None, provider: str = "CPUExecutionProvider"
) -> tuple[InferenceSession, Manifest]:
    """Open a model file, of which nothing outside the file is read. Its graph is a program: open those you trust.

    Args:
        path: the ``.onnx`` file.
        threads: how many threads a prediction may use; None leaves it to onnxruntime.
        provider: ONNX Runtime's name of the device's provider; the CPU computes what it cannot.

    Returns:
        The session and the manifest.

    Raises:
        ModelError: missing, damaged, not mien's, or of a newer schema.
    """
    stay_offline()
    import onnxruntime

    path = Path(path)
    content = _read(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not _has_int8_dot_product():
        # What an x86 CPU has in its place can overflow. The exact way takes twice as long, on a CPU that has it too.
        options.add_session_config_entry("session.x64quantprecision", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # Weights in other files are looked for where none can be, and not in the working folder.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        # The fallback would print to stdout.
        session = onnxruntime.InferenceSession(
            content, options, providers=list(dict.fromkeys([provider, "CPUExecutionProvider"])), enable_fallback=0
        )
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class below Exception
        # Its first line holds the reason; further lines are C++ locations.
        reason = str(error).splitlines()[0][:160]
        raise ModelError(
            f"{path} is not an ONNX model that can be read, or the file is damaged ({reason}).",
            code="model-damaged",
        ) from None
    try:
        manifest = parse_manifest(session.get_modelmeta().custom_metadata_map, path)
        _check_graph(session, manifest, path)
    except UnicodeDecodeError:
        raise ModelError(
            f"{path} holds a name that is not UTF-8. Export the model again.", code="model-damaged"
        ) from None
    return session, manifest


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ModelError(
            f"{path} does not exist." if not path.exists() else f"{path} is a folder without a model.",
            code="model-missing",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.", code="model-unreadable") from None


def _check_graph(session: InferenceSession, manifest: Manifest, path: Path) -> None:
    """Raise :class:`ModelError` unless the graph has the input and outputs of its manifest."""
    crop_px = manifest.input.crop_px
    sizes = {"images": [manifest.input.channels, crop_px, crop_px]} | {
        each.logits: [len(each.classes)] for each in manifest.all_outputs
    }
    expected = {name: ("tensor(float)", size) for name, size in sizes.items()}
    inputs = {each.name: (each.type, each.shape[1:]) for each in session.get_inputs()}
    outputs = {each.name: (each.type, each.shape[1:]) for each in session.get_outputs()}
    wrong = [name for name in expected | inputs if (inputs | outputs).get(name) != expected.get(name)]
    if wrong:
        raise ModelError(
            f"{path}: its graph does not fit its manifest ({', '.join(wrong)}). Export the model again.",
            code="graph-mismatch",
        )


def _has_int8_dot_product() -> bool:
    """Whether NumPy found AVX-512 VNNI, part of Ice Lake's set; a CPU with AVX-VNNI alone goes unrecognised."""
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return any(name.startswith(("AVX512_ICL", "AVX512_SPR", "AVX512_VNNI")) for name in found)


def attach_manifest(graph: bytes, manifest: Manifest) -> bytes:
    """Put a manifest into a serialised ONNX graph, replacing the one it has. Needs the extra ``train``."""
    import onnx

    model = onnx.load_model_from_string(graph)
    kept = [entry for entry in model.metadata_props if entry.key != MANIFEST_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=MANIFEST_KEY, value=manifest.written())
    content: bytes = model.SerializeToString()
    return content


def graph_sha256(model: bytes) -> str:
    """SHA-256 of a model without its metadata, 64 hex digits: another manifest leaves it. Needs the extra ``train``."""
    import onnx

    content = onnx.load_model_from_string(model)
    del content.metadata_props[:]
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()


def replace_manifest(path: Path, manifest: Manifest) -> None:
    """Give a model file another manifest, whole or not at all. Needs the extra ``train``."""
    write_bytes(path, attach_manifest(path.read_bytes(), manifest))
