"""One run of a model's graph, with its answer checked: whatever the graph does, an answer is finite or one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.errors import ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def run_model(
    session: InferenceSession, outputs: Sequence[str], inputs: npt.NDArray[np.float32], path: Path
) -> list[npt.NDArray[np.float32]]:
    """Run a graph on a batch and return some of its outputs.

    Args:
        session: of the model.
        outputs: names of outputs, such as ``logits``.
        inputs: float32 (N, channels, crop_px, crop_px).
        path: the model's file, named in errors.

    Returns:
        float32 (N, C) for each output, finite.

    Raises:
        ModelError: onnxruntime failed (``model-run``); NaN, infinity or another shape than the graph declares
            (``model-output``).
    """
    try:
        found: list[npt.NDArray[np.float32]] = session.run(list(outputs), {"images": inputs})
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class below Exception
        reason = (str(error) or type(error).__name__).splitlines()[0][:160]
        raise ModelError(f"{path} cannot be run: {reason}. Export the model again.", code="model-run") from None
    widths = {each.name: each.shape[1] for each in session.get_outputs()}
    for output, values in zip(outputs, found, strict=True):
        if values.shape != (len(inputs), widths[output]):
            raise ModelError(
                f"{path} gives {output} of shape {values.shape} for {len(inputs)} images. Export the model again.",
                code="model-output",
            )
        if not np.isfinite(values).all():
            raise ModelError(
                f"{path} gives {output} that are NaN or infinite. Its weights are damaged: export the model again.",
                code="model-output",
            )
    return found


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Softmax over the last axis, in float64, safe for any finite logits."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
