"""Grad-CAM: show which positions in the last convolutional feature maps favour a class."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.base.errors import DataError
from mien.explanation.gradient.torch_model import TorchModel
from mien.models.network import run_order

MIN_SIDE = 4
"""Smallest side of a usable feature map. On a smaller map, an eye and the mouth would share a position."""


def gradcam(
    model: TorchModel, images: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Compute Grad-CAM: ReLU(sum over channels k of the mean gradient of the logit with respect to A_k, times A_k).

    Source: Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2. The map is enlarged bilinearly to the face. It is
    coarse: the last feature maps of mien's networks (:func:`last_maps`) are 4 to 6 wide at 44 to 48 px.

    Args:
        model: the network.
        images: uint8 (N, size_px, size_px[, 3]).
        targets: int64 (N,), class to explain for each face.

    Returns:
        float32 (N, size_px, size_px), 0 or more; 0 outside the central crop that the network sees.
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
    """Return the module that outputs the feature maps A_k, and their side: the last with :data:`MIN_SIDE` or more.

    The raw output of a convolution, before norm and activation, is not used. Without a bias, its channels have
    arbitrary offsets, which would distort the ReLU of the map.
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
    finest = min(MIN_SIDE, max(side for _, side in maps))
    return [each for each in maps if each[1] >= finest][-1]
