"""ONNX Runtime's execution providers: which device a model runs on, and a proof that it answers as the CPU does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.artifact import stay_offline
from mien.errors import ModelError
from mien.inference.model_run import softmax

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CPU = "CPUExecutionProvider"
_SUFFIX = "ExecutionProvider"
_SHORT = {"directml": f"Dml{_SUFFIX}"}
PARITY_TOLERANCE = 0.01
"""Largest difference of a probability from the CPU's, and of a feature as a share of the largest one. Devices that
compute in fp16 or TF32 stay well below it."""


def find_provider(name: str | None) -> str:
    """The provider that a user names, as ONNX Runtime calls it.

    Args:
        name: ``cpu``, ``cuda``, ``coreml``, ``openvino``, ``directml``, ..., or ONNX Runtime's own name such as
            ``CUDAExecutionProvider``; case is ignored. None is the CPU.

    Raises:
        ModelError: the installed ONNX Runtime does not have it (``provider-missing``).
    """
    if name is None:
        return CPU
    stay_offline()
    import onnxruntime

    present: list[str] = onnxruntime.get_available_providers()
    wanted = _SHORT.get(name.lower(), name).lower().removesuffix(_SUFFIX.lower())
    found = next((each for each in present if each.lower().removesuffix(_SUFFIX.lower()) == wanted), None)
    if found is None:
        known = ", ".join(sorted(each.removesuffix(_SUFFIX).lower() for each in present))
        raise ModelError(
            f"ONNX Runtime has no provider '{name}' here; it has: {known}. Others come with another package of it, "
            "such as onnxruntime-gpu.",
            code="provider-missing",
        )
    return found


def check_provider(session: InferenceSession, reference: InferenceSession, provider: str) -> None:
    """Compare a session with the CPU's on a fixed input: eight images of Gaussian noise, seed 0.

    Args:
        session: on ``provider``.
        reference: of the same model on the CPU.
        provider: ONNX Runtime's name of it.

    Raises:
        ModelError: the provider was not used (``provider-unusable``), or one of the outputs differs by more
            than :data:`PARITY_TOLERANCE` (``provider-parity``).
    """
    if provider not in session.get_providers():
        raise ModelError(
            f"ONNX Runtime could not start the provider {provider}: its device, driver or libraries are missing. "
            "Use the provider cpu.",
            code="provider-unusable",
        )
    shape = session.get_inputs()[0].shape[1:]
    images = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    names = [output.name for output in reference.get_outputs()]
    ours, cpu = (each.run(names, {"images": images}) for each in (session, reference))
    for name, found, expected in zip(names, ours, cpu, strict=True):
        difference = _difference(name, found.astype(np.float64), expected.astype(np.float64))
        # Written so that NaN is refused too.
        if not difference <= PARITY_TOLERANCE:
            raise ModelError(
                f"The provider {provider} answers otherwise than the CPU: its {name} differ by up to {difference:.2g}, "
                f"more than {PARITY_TOLERANCE}. Use the provider cpu.",
                code="provider-parity",
            )


def _difference(name: str, ours: npt.NDArray[np.float64], cpu: npt.NDArray[np.float64]) -> float:
    """The largest difference of probabilities; of features relative to the largest one."""
    if name == "features":
        return float(np.abs(ours - cpu).max() / max(np.abs(cpu).max(), 1e-12))
    return float(np.abs(softmax(ours) - softmax(cpu)).max())
