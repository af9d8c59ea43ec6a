"""Methods that need gradients, Grad-CAM among them, and the test whether maps depend on the trained weights."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.base.arrays import Array, Floats, Floats32, Ints, Pixels
from mien.base.errors import DataError, ModelError
from mien.base.model_file import Manifest
from mien.base.preprocess import InputSpec, face_shape, to_input
from mien.base.progress import slices
from mien.base.run_folder import RunFolder
from mien.evaluation.metrics import bootstrap_mean
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import Predict
from mien.explanation.explainer import Explainer
from mien.models.network import Network, run_order
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
        """Map inputs to probabilities, float64 (N, C): in float32 the gradient p (1 - p) of a sure answer vanishes."""
        logits: Tensor = self.network(inputs)
        return (logits.double() / self.temperature).softmax(1)

    def predict(self, images: Pixels) -> Floats:
        """Map faces uint8 (N, size_px, size_px[, 3]) to probabilities float64 (N, C), without gradients."""
        with torch.inference_mode():
            parts = [
                self.probabilities(torch.from_numpy(to_input(images[part], self.spec))).numpy()
                for part in slices(len(images), BATCH)
            ]
        return np.concatenate(parts) if parts else np.empty((0, self.network.head.out_features))

    def maps(self, images: Pixels, targets: Ints, map_of: Callable[[Tensor, Tensor], Tensor]) -> Floats32:
        """Compute maps in batches, enlarged to the stored faces: float32 (N, size_px, size_px), 0 outside the crop.

        ``map_of`` takes inputs with gradients, (n, channels, crop_px, crop_px), and the classes to explain, (n,).
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
    if np.abs(model.predict(noise) - predict(noise)).mean() > (0.02 if manifest.precision == "int8" else 1e-3):
        words = f"{run.best} and the model file differ. Export the run again with mien export."
        raise ModelError(words, code="gradients-other-weights")
    return model


def gradient(model: TorchModel, images: Pixels, targets: Ints) -> Floats32:
    """Compute the largest absolute gradient of the class's probability over channels.

    Source: Simonyan, Vedaldi & Zisserman, Deep Inside Convolutional Networks, 2014, section 3. As in Study B, the
    gradient is that of the probability after the softmax. Maps are 0 or more, and as in :meth:`TorchModel.maps`.
    """

    def map_of(inputs: Tensor, chosen: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(model.probabilities(inputs).gather(1, chosen.unsqueeze(1)).sum(), inputs)
        return slope.abs().amax(dim=1)

    return model.maps(images, targets, map_of)


MIN_SIDE = 4
"""Smallest side of a usable feature map. On a smaller map, an eye and the mouth would share a position."""


def gradcam(model: TorchModel, images: Pixels, targets: Ints) -> Floats32:
    """Compute Grad-CAM: ReLU(sum over channels k of the mean gradient of the logit with respect to A_k, times A_k).

    Source: Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2. The map is enlarged bilinearly to the face. It is
    coarse: the last feature maps of mien's networks (:func:`last_maps`) are 4 to 6 wide at 44 to 48 px. Maps are 0 or
    more, and as in :meth:`TorchModel.maps`.
    """
    (layer, rows), side = last_maps(model), model.spec.crop_px

    def map_of(inputs: Tensor, chosen: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def keep(module: nn.Module, given: object, output: Tensor) -> Tensor:
            # A module that is used several times also has outputs of other sizes.
            if output.dim() == 4 and output.shape[2] == rows:
                seen.append(output)
            # Return a copy to the network, because later layers may modify it in place.
            return output.clone()

        with layer.register_forward_hook(keep):
            logits = model.network(inputs)
        maps = seen[-1]
        (slopes,) = torch.autograd.grad(logits.gather(1, chosen.unsqueeze(1)).sum(), maps)
        favoured = torch.relu((slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True))
        return functional.interpolate(favoured, (side, side), mode="bilinear", align_corners=False)[:, 0]

    return model.maps(images, targets, map_of)


def last_maps(model: TorchModel) -> tuple[nn.Module, int]:
    """Return the module that outputs the feature maps A_k, and their side: the last with :data:`MIN_SIDE` or more. Not
    a raw convolution before its norm: without a bias its arbitrary offsets would distort the ReLU of the map.
    """
    order = run_order(model.network, model.spec.channels, model.spec.crop_px)
    # Attention and maps with the channels last have four dimensions, too.
    channels = {shape[1] for _, module, shape in order if isinstance(module, nn.Conv2d | nn.BatchNorm2d)}
    maps = [
        (module, shape[2])
        for _, module, shape in order
        if len(shape) == 4 and shape[1] in channels and shape[2] > 1 and not isinstance(module, nn.Conv2d)
    ]
    if not maps:
        words = "Grad-CAM needs a network with convolutional maps; this network has none. Choose another method."
        raise DataError(words, code="no-convolutional-maps")
    return [each for each in maps if each[1] >= min(MIN_SIDE, max(side for _, side in maps))][-1]


def rank_correlation(method: str, model: TorchModel, images: Pixels, maps: Floats32, seed: int = 0) -> Estimate:
    """Compare a method's maps for a network with those for the same network with shuffled weights.

    This is the model randomisation test of Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3.1,
    for all layers. A method whose maps do not change shows the edges of the image, not the model.

    ``maps`` explain the classes that the network predicts; the others explain the same classes. Returns the mean rank
    correlation over faces, -1..1, with an interval over faces.
    """
    chosen, window, shuffled = model.predict(images).argmax(axis=1), model.spec.window, randomized(model, seed)
    after = Explainer(shuffled.predict, model.spec.crop_px, shuffled).attribute(images, chosen, method=method)
    return bootstrap_mean(spearman(maps[:, window, window], after[:, window, window]))


def randomized(model: TorchModel, seed: int) -> TorchModel:
    """Return a copy with each tensor's values shuffled, the head first: nothing learned, activations of like size."""
    shuffled = replace(model, network=copy.deepcopy(model.network))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer, _ in reversed(run_order(shuffled.network, model.spec.channels, model.spec.crop_px)):
            for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
                order = torch.randperm(tensor.numel(), generator=generator)
                tensor.copy_(tensor.flatten()[order].reshape(tensor.shape))
    return shuffled


def spearman(first: Array, second: Array) -> Floats:
    """Compute Spearman's rank correlation of pairs of maps, (N, ...) -> float64 (N,); 0 where one is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    a, b = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    length = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), length, out=np.zeros(len(a)), where=length > 0))
