"""What a model file says of its model: classes, input, outputs, recipe, metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mien.errors import ModelError, nearest
from mien.preprocess import InputSpec

SCHEMA_VERSION = 3
"""2 has named outputs, 3 images in colour. A model without either is written as version 1, for older mien too."""

INT8 = "-int8"
"""After a model's name: its int8 form."""

LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 1e-3, 1e3
"""What a manifest may say; a fit ends at 0.05 and 20."""

MANIFEST_KEY = "mien.manifest"
"""Under this name a model file carries its manifest in its metadata."""

_OUTPUT_NAME = re.compile("[a-z][a-z0-9_]{0,30}")


_ANSWERS_FIRST = ("votes", "sampled", "majority", "label")


def answering(targets: Sequence[str]) -> int:
    """Which of a model's outputs answers unless one is named, by what taught each of them.

    The first that learned the whole distribution of votes, else the first of one vote, else of their majority, else
    that of the label. ``web/src/model/outputs.ts`` has the same rule.

    >>> answering(["label", "majority", "votes"]), answering(["label"])
    (2, 0)
    """
    return min(range(len(targets)), key=lambda at: _ANSWERS_FIRST.index(targets[at]))


class OutputManifest(BaseModel):
    """One of a model's outputs."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[str, ...] = Field(min_length=2)
    temperature: float = Field(default=1.0, ge=LEAST_TEMPERATURE, le=GREATEST_TEMPERATURE)
    target: Literal["label", "votes", "majority", "sampled"] = Field(description="what it learned from")

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        return _all_different(classes)


@dataclass(frozen=True)
class ModelOutput:
    """One of a model's outputs in use.

    Attributes:
        name: None for the only output of a model without named outputs.
        logits: the graph's output with its logits, in the order of ``classes``.
        target: what taught it: label, votes, majority or sampled (:class:`mien.recipe.OutputRecipe`).
    """

    name: str | None
    logits: str
    classes: tuple[str, ...]
    temperature: float
    target: str

    @property
    def perceived(self) -> bool:
        """Whether votes taught it. Its probabilities are the shares of people expected to choose each class."""
        return self.target != "label"


def _all_different(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) < len(classes):
        raise ValueError("a class is named twice")
    return classes


class Manifest(BaseModel):
    """What a model is, where it comes from, and what was measured of it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    name: str
    classes: tuple[str, ...] = Field(min_length=2)
    input: InputSpec
    parameters: int = Field(description="trainable parameters")
    precision: Literal["fp32", "fp16", "int8"] = Field(
        default="fp32", description="fp16: weights are stored so, and computed with in fp32"
    )
    recipe: dict[str, Any] = Field(description="the whole recipe that it was trained by")
    recipe_digest: str
    data_fingerprint: str = Field(description="of the faces it was trained and validated on")
    cleaned_from: tuple[str, ...] = Field(
        default=(),
        description="likewise of the data as it was before a list of changes; empty where none was applied. Of an "
        "ensemble whose models were trained on other data: of the data that its temperature was fitted on, and of that "
        "before a list of changes",
    )
    taught_by: tuple[str, ...] = Field(default=(), description="SHA-256 of what its teachers said, or of themselves")
    epoch: int = Field(description="the epoch whose weights these are")
    scores: dict[str, float] = Field(default_factory=dict, description="e.g. validation_accuracy, a share")
    temperature: float = Field(
        default=1.0,
        ge=LEAST_TEMPERATURE,
        le=GREATEST_TEMPERATURE,
        description="logits are divided by it before the softmax",
    )
    outputs: dict[str, OutputManifest] = Field(
        default_factory=dict,
        description="outputs by name, the first with the classes above; a model without named outputs has one",
    )
    licence: str = "MIT"
    mien_version: str
    created: str = Field(description="UTC, ISO 8601")

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        return _all_different(classes)

    @model_validator(mode="after")
    def _first_output_has_these_classes(self) -> Manifest:
        first = next(iter(self.outputs.values()), None)
        if first is not None and first.classes != self.classes:
            raise ValueError("the first output has other classes than the model")
        if any(not _OUTPUT_NAME.fullmatch(name) for name in self.outputs):
            raise ValueError("the name of an output is not lower-case letters, digits and _")
        if any((output.target == "label") != (output is first) for output in self.outputs.values()):
            raise ValueError("the first output, and no other one, must be that of the label")
        return self

    @property
    def all_outputs(self) -> tuple[ModelOutput, ...]:
        """All outputs, that of the label first. Its logits are ``logits``, as in every model file."""
        if not self.outputs:
            return (ModelOutput(None, "logits", self.classes, self.temperature, "label"),)
        first, *others = self.outputs
        found = [(name, f"logits_{name}", self.outputs[name]) for name in others]
        return (
            ModelOutput(first, "logits", self.classes, self.temperature, "label"),
            *(ModelOutput(name, logits, it.classes, it.temperature, it.target) for name, logits, it in found),
        )

    def output(self, name: str | None = None) -> ModelOutput:
        """The output that answers.

        Args:
            name: None chooses by what taught each output: see :func:`answering`.

        Raises:
            ModelError: the model has no such output (``output-unknown``).
        """
        outputs = self.all_outputs
        if name is None:
            return outputs[answering([each.target for each in outputs])]
        if name not in self.outputs:
            known = nearest(name, self.outputs) if self.outputs else " It has one, which needs no name."
            raise ModelError(
                f"The model '{self.full_name}' has no output '{name}'." + known,
                code="output-unknown",
            )
        return next(each for each in outputs if each.name == name)

    def written(self) -> str:
        """The manifest as JSON. The first output has the model's own temperature, which may have been replaced."""
        colour = self.input.channels == 3
        left_out: dict[str, Any] = {} if colour else {"input": {"channels"}}
        if not self.outputs:
            former = self.model_copy(update={"schema_version": 3 if colour else 1})
            return former.model_dump_json(exclude={**left_out, "outputs": True})
        name, first = next(iter(self.outputs.items()))
        outputs = {**self.outputs, name: first.model_copy(update={"temperature": self.temperature})}
        whole = self.model_copy(update={"schema_version": 3 if colour else 2, "outputs": outputs})
        return whole.model_dump_json(exclude=left_out)

    @property
    def full_name(self) -> str:
        """The name, which all forms of a model share, with :data:`INT8` after that of the int8 form."""
        return f"{self.name}{INT8}" if self.precision == "int8" else self.name


def parse_manifest(metadata: Mapping[str, str], path: Path) -> Manifest:
    """The manifest in the metadata of a model file. Raises :class:`ModelError`; ``path`` is for its message."""
    if MANIFEST_KEY not in metadata:
        raise ModelError(
            f"{path} is an ONNX model without mien's manifest, so its classes and preprocessing are not known. "
            f"Score it with your own code and hand mien its scores (docs/predictions.md).",
            code="manifest-missing",
        )
    try:
        content = json.loads(metadata[MANIFEST_KEY], object_pairs_hook=_unique)
        version = content["schema_version"]
        newer = version > SCHEMA_VERSION
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _damaged(path) from None
    if newer:
        raise ModelError(
            f"{path} was written by a newer mien (manifest schema {version}; this one reads up to {SCHEMA_VERSION}). "
            f"Upgrade with: pip install -U mien",
            code="model-newer",
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        at = f" at '{'.'.join(str(part) for part in fault['loc'])}'" if fault["loc"] else ""
        raise _damaged(path, at + (f" ({fault['ctx']['error']})" if fault["type"] == "value_error" else "")) from None


def _damaged(path: Path, where: str = "") -> ModelError:
    return ModelError(f"{path}: its manifest is damaged{where}. Export the model again.", code="manifest-damaged")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys differ. Raises ValueError: two outputs of one name would silently become one."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name occurs twice")
    return content
