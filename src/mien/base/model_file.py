"""The manifest in a model file: classes, input, outputs, recipe, metrics."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from mien.base.errors import ModelError, nearest
from mien.base.files import refuse_pointer
from mien.base.heads import ANSWER, HEADS, AnswerRule, LabelHead, Target, VotesHead, answering
from mien.base.preprocess import InputSpec

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SCHEMA_VERSION = 6
"""Version of the manifest's schema. Version 2 added named outputs, 3 colour, 4 the answer rule, 5 its margin and
weights, 6 ratings. Models are written in the newest version."""

INT8 = "-int8"
"""Suffix of the name of a model's int8 form."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e3
"""Allowed range of temperatures in a manifest. Fitted temperatures lie in 0.05..20."""

MANIFEST_KEY = "mien.manifest"
"""Key of the manifest in a model file's metadata."""


def _all_different(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) < len(classes):
        raise ValueError("a class occurs twice")
    return classes


Classes = Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_all_different)]


class OutputManifest(BaseModel, extra="forbid", frozen=True):
    """Description of one output of a model."""

    classes: Classes
    temperature: float = Field(default=1.0, ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)
    target: Target = Field(description="training target")


class Manifest(BaseModel, extra="forbid", frozen=True):
    """Description of a model: its classes, input, origin and metrics."""

    schema_version: int = SCHEMA_VERSION
    name: str
    classes: Classes
    input: InputSpec
    parameters: int = Field(description="trainable parameters")
    precision: Literal["fp32", "fp16", "int8"] = Field(
        default="fp32", description="fp16: weights are stored in fp16 and converted to fp32 to compute"
    )
    recipe: dict[str, Any] = Field(description="the complete training recipe")
    recipe_digest: str
    data_fingerprint: str = Field(description="fingerprint of the faces in training and validation")
    cleaned_from: tuple[str, ...] = Field(
        default=(), description="fingerprints of the data before each list of changes; empty without such lists"
    )
    taught_by: tuple[str, ...] = Field(default=(), description="SHA-256 of soft labels or teachers' model files")
    epoch: int = Field(description="epoch of these weights")
    scores: dict[str, float] = Field(default_factory=dict, description="metrics, e.g. validation_accuracy in 0..1")
    temperature: float = Field(
        default=1.0, ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE, description="divisor of the logits before the softmax"
    )
    outputs: dict[str, OutputManifest] = Field(
        default_factory=dict,
        description="outputs by name; the first has the classes above; empty for a model with one unnamed output",
    )
    answer: AnswerRule | None = Field(default=None, description="rule that makes the answer from votes")
    licence: str = Field(default="MIT", description="licence of the network and its initial weights")
    mien_version: str
    created: str = Field(description="UTC, ISO 8601")

    @model_validator(mode="after")
    def _rule_fits(self) -> "Manifest":
        if ANSWER in self.outputs:
            raise ValueError(f"an output is named {ANSWER}")
        if self.answer is not None:
            source = self.outputs.get(self.answer.output)
            if source is None or not HEADS[source.target].perceived:
                raise ValueError(f"the answer's rule is for '{self.answer.output}', which was not trained on votes")
            if not set(self.answer.weights) <= set(source.classes):
                raise ValueError(f"the answer has a weight for a class not among {', '.join(source.classes)}")
            if len(self.answer.prior) != len(source.classes):
                raise ValueError(f"the answer's prior has not {len(source.classes)} numbers, one for each class")
        return self

    @property
    def outputs_to_choose(self) -> tuple[LabelHead, ...]:
        """Outputs that classify, from which a user can choose; the first is the answer if the model has a rule."""
        outputs = tuple(each for each in self.all_outputs if each.answers)
        if self.answer is None:
            return outputs
        votes = (each for each in outputs if isinstance(each, VotesHead))
        return (next(each for each in votes if each.name == self.answer.output).under(self.answer), *outputs)

    @property
    def further_outputs(self) -> tuple[LabelHead, ...]:
        """Outputs whose values are not class probabilities, such as valence; every prediction includes them."""
        return tuple(each for each in self.all_outputs if not each.answers)

    @property
    def measured_output(self) -> LabelHead:
        """The output that is compared with people's votes, or else the label's output; see :func:`answering`."""
        outputs = self.all_outputs
        return outputs[answering([each.target for each in outputs])]

    @property
    def all_outputs(self) -> tuple[LabelHead, ...]:
        """All outputs of the graph, the label first. The logits of the first are always named ``logits``."""
        if not self.outputs:
            return (LabelHead(None, "logits", self.classes, self.temperature),)
        first, *others = self.outputs
        heads = [LabelHead(first, "logits", self.classes, self.temperature)]
        for name in others:
            it = self.outputs[name]
            heads.append(HEADS[it.target](name, f"logits_{name}", it.classes, it.temperature, it.target))
        return tuple(heads)

    @property
    def mirrored(self) -> bool:
        """Whether training also saw mirrored faces: only then may predictions for a face and its mirror be averaged.

        A user's own augmentation has a name and replaces ``flip``. Recipes from before ``flip`` count as mirrored.
        """
        augment = self.recipe.get("augment", {})
        return bool(augment.get("flip", True) and not augment.get("name"))

    def output(self, name: str | None = None) -> LabelHead:
        """Return an output by name, else ModelError (``output-unknown``); None: the rule's, or :func:`answering`."""
        outputs = self.outputs_to_choose
        if name is None:
            return outputs[0] if self.answer else self.measured_output
        if name not in (names := [each.name for each in outputs if each.name is not None]):
            known = nearest(name, names) if names else " Its only output has no name."
            raise ModelError(f"The model '{self.full_name}' has no output '{name}'." + known, code="output-unknown")
        return next(each for each in outputs if each.name == name)

    def written(self) -> str:
        """Return the manifest as JSON. The first output gets the model's current temperature."""
        outputs = dict(self.outputs)
        for name, first in list(outputs.items())[:1]:
            outputs[name] = first.model_copy(update={"temperature": self.temperature})
        return self.model_copy(update={"schema_version": SCHEMA_VERSION, "outputs": outputs}).model_dump_json()

    @property
    def full_name(self) -> str:
        """The model's name. The int8 form's name ends in :data:`INT8`; the fp32 and fp16 forms have the same name."""
        return f"{self.name}{INT8}" if self.precision == "int8" else self.name


def parse_manifest(metadata: Mapping[str, str], path: Path) -> Manifest:
    """Parse the manifest in a model file's metadata. Raises :class:`ModelError` with ``path`` in the message."""
    if MANIFEST_KEY not in metadata:
        words = f"{path} has no manifest of mien. Evaluate your own code's predictions of it (docs/predictions.md)."
        raise ModelError(words, code="manifest-missing")
    try:
        content = json.loads(metadata[MANIFEST_KEY])
        newer = content["schema_version"] > SCHEMA_VERSION
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _damaged(path) from None
    if newer:
        raise ModelError(f"{path} was written by a newer mien. Upgrade: pip install -U mien", code="model-newer")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        at = f" at '{'.'.join(str(part) for part in fault['loc'])}'" if fault["loc"] else ""
        raise _damaged(path, at + (f" ({fault['ctx']['error']})" if fault["type"] == "value_error" else "")) from None


def _damaged(path: Path, where: str = "") -> ModelError:
    return ModelError(f"{path}: its manifest is damaged{where}. Export the model again.", code="model-damaged")


def stay_offline() -> None:
    """Stop onnxruntime, before its import, from sending telemetry: since 1.29 that writes an identifier and reports on
    sessions, and ``disable_telemetry_events`` comes too late. The environment variable overrides this.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def read_manifest(path: str | Path) -> Manifest:
    """Read the manifest of a model file. Raises :class:`ModelError` like :func:`open_model`."""
    return open_model(path)[1]


def open_model(
    path: str | Path, threads: int | None = None, provider: str = "CPUExecutionProvider", content: bytes | None = None
) -> "tuple[InferenceSession, Manifest]":
    """Open a model file as :func:`open_session`. Raises ModelError too if it is not mien's, or of a newer schema."""
    path = Path(path)
    session = open_session(path, threads, provider, content)
    try:
        manifest = parse_manifest(session.get_modelmeta().custom_metadata_map, path)
        _check_graph(session, manifest, path)
    except UnicodeDecodeError:
        raise ModelError(f"{path} holds a name that is not UTF-8. Export it again.", code="model-damaged") from None
    return session, manifest


def open_session(
    path: Path, threads: int | None = None, provider: str = "CPUExecutionProvider", content: bytes | None = None
) -> "InferenceSession":
    """Open a file of a network without reading any other. A graph is a program: open only files that you trust.

    ``provider`` is ONNX Runtime's name of the device's provider; the CPU computes all other nodes. A prediction uses
    ``threads``. With ``content``, that of a file which is not written yet, nothing is read. Raises ModelError: the
    file is missing or damaged.
    """
    stay_offline()
    import onnxruntime

    content = _read(path) if content is None else content
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Threads that spin while they wait slow down all other work: docs/lab-notebook.md.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not _has_int8_dot_product():
        # On x86 CPUs without VNNI, the fast int8 product can overflow. The exact one takes twice as long.
        options.add_session_config_entry("session.x64quantprecision", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # This folder cannot exist, so onnxruntime never reads weights from files in the working folder.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        # onnxruntime would print to stdout when it falls back.
        return onnxruntime.InferenceSession(
            content, options, providers=list(dict.fromkeys([provider, "CPUExecutionProvider"])), enable_fallback=0
        )
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class below Exception
        # The first line holds the reason; the others are C++ locations.
        reason = str(error).splitlines()[0][:160]
        words = f"{path} is no model of mien train or mien export (ONNX), or it is damaged ({reason})."
        raise ModelError(words, code="model-damaged") from None


def _read(path: Path) -> bytes:
    if not path.is_file():
        words = f"{path} does not exist." if not path.exists() else f"{path} is a folder without a model."
        raise ModelError(words, code="model-missing")
    refuse_pointer(path, ModelError)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.", code="model-damaged") from None


def _check_graph(session: "InferenceSession", manifest: Manifest, path: Path) -> None:
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
        words = f"{path}: its graph does not match its manifest ({', '.join(wrong)}). Export the model again."
        raise ModelError(words, code="model-damaged")


def _has_int8_dot_product() -> bool:
    """Return whether NumPy found AVX-512 VNNI. NumPy does not report CPUs that have only AVX-VNNI."""
    found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return any(name.startswith(("AVX512_ICL", "AVX512_SPR", "AVX512_VNNI")) for name in found)


def attach_manifest(graph: bytes, manifest: Manifest) -> bytes:
    """Write a manifest into a serialised ONNX graph, in place of an existing one. Needs the extra ``train``."""
    import onnx

    model = onnx.load_model_from_string(graph)
    kept = [entry for entry in model.metadata_props if entry.key != MANIFEST_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=MANIFEST_KEY, value=manifest.written())
    return bytes(model.SerializeToString())
