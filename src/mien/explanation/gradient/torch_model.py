"""A network with its input specification, for methods that need gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mien.base.errors import ModelError
from mien.base.model_file import Manifest
from mien.base.preprocess import InputSpec, face_shape, to_input
from mien.base.progress import slices
from mien.base.run_folder import RunFolder
from mien.explanation.occlusion import Predict
from mien.models.network import Network
from mien.training.checkpoint import load_network

BATCH = 64


@dataclass(frozen=True)
class TorchModel:
    """A network in evaluation mode with the specification of its input.

    Attributes:
        network: module that maps normalised images (N, channels, crop_px, crop_px) to logits (N, C).
        spec: size, crop and normalisation of the input.
        temperature: divisor of the logits before the softmax, from the model's manifest.
    """

    network: Network
    spec: InputSpec
    temperature: float = 1.0

    def probabilities(self, inputs: Tensor) -> Tensor:
        """Map normalised images (N, channels, crop_px, crop_px) to probabilities, float64 (N, C), rows sum to 1.

        The result is float64, because the gradient of a confident answer, p (1 - p) times that of the logits, vanishes
        in float32.
        """
        logits: Tensor = self.network(inputs)
        return (logits.double() / self.temperature).softmax(1)

    def predict(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Map faces uint8 (N, size_px, size_px[, 3]) to probabilities float64 (N, C), without gradients."""
        with torch.inference_mode():
            parts = [
                self.probabilities(torch.from_numpy(to_input(images[part], self.spec))).numpy()
                for part in slices(len(images), BATCH)
            ]
        return np.concatenate(parts) if parts else np.empty((0, self.network.head.out_features))

    def maps(
        self, images: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64], map_of: Callable[[Tensor, Tensor], Tensor]
    ) -> npt.NDArray[np.float32]:
        """Compute maps in batches, enlarged to the stored faces: float32 (N, size_px, size_px), 0 outside the crop.

        ``targets`` int64 (N,) is the class to explain for each face. ``map_of`` takes inputs with gradients, (n,
        channels, crop_px, crop_px), and their classes (n,), and returns maps (n, crop_px, crop_px).
        """
        placed = np.zeros((len(images), self.spec.size_px, self.spec.size_px), dtype=np.float32)
        for part in slices(len(images), BATCH):
            inputs = torch.from_numpy(to_input(images[part], self.spec)).requires_grad_()
            chosen = torch.from_numpy(np.array(targets[part], dtype=np.int64))
            placed[part, self.spec.window, self.spec.window] = map_of(inputs, chosen).detach().float().numpy()
        return placed


def load_torch_model(run: RunFolder, temperature: float) -> TorchModel:
    """Load the network of a run's best epoch with the temperature of its model. Errors: see ``load_network``."""
    return TorchModel(load_network(run), run.read_recipe().input, temperature)


def matching_torch_model(run: RunFolder, manifest: Manifest, predict: Predict) -> TorchModel:
    """Load the network that a run's model file was exported from. Network and file must agree on four noise images.

    ``manifest`` and ``predict`` are the model file's, with the label's output in use. Raises ModelError for other
    weights (``gradients-other-weights``), and as :func:`load_torch_model`.
    """
    model = load_torch_model(run, manifest.temperature)
    noise = np.random.default_rng(0).integers(0, 256, (4, *face_shape(*model.spec.size_and_channels)), dtype=np.uint8)
    # The same network differs by 0.00004 in fp16 and 0.01 in int8, another network by 0.06.
    allowed = 0.02 if manifest.precision == "int8" else 1e-3
    if np.abs(model.predict(noise) - predict(noise)).mean() > allowed:
        words = f"{run.best} and the model file differ. Export the run again with mien export."
        raise ModelError(words, code="gradients-other-weights")
    return model


def gradient(
    model: TorchModel, images: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Compute the largest absolute gradient of the class's probability over channels.

    Source: Simonyan, Vedaldi & Zisserman, Deep Inside Convolutional Networks, 2014, section 3. As in Study B, the
    gradient is that of the probability after the softmax. Maps are 0 or more, and as in :meth:`TorchModel.maps`.
    """

    def map_of(inputs: Tensor, chosen: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(model.probabilities(inputs).gather(1, chosen.unsqueeze(1)).sum(), inputs)
        return slope.abs().amax(dim=1)

    return model.maps(images, targets, map_of)
