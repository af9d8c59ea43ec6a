"""Grad-CAM: which places of the last convolution's maps speak for a class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional

from mien.explain.torch_model import TorchModel, run_order


def gradcam(
    model: TorchModel,
    images: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64] | None = None,
    *,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """Grad-CAM on the last convolution: ReLU(sum over channels k of mean gradient of the logit by A_k, times A_k).

    Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2; then bilinearly enlarged to the face. Coarse: the
    last maps of mien's networks have 2 to 6 places a side.

    Args:
        model: the network.
        images: uint8 (N, size_px, size_px).
        targets: int64 (N,), the class to explain of each face; None explains the predicted one.
        seed: not used; every method takes one.

    Returns:
        float32 (N, size_px, size_px), 0 or more; 0 outside the central crop that the network sees.

    Raises:
        DataError: images of another shape, or a number of targets that is not N.
    """
    method = LayerGradCam(model.network, last_maps(model))
    side = model.spec.crop_px
    maps = []
    for inputs, chosen in model.batches(images, targets):
        places = method.attribute(inputs, target=chosen, relu_attributions=True).detach()
        maps.append(functional.interpolate(places, (side, side), mode="bilinear", align_corners=False)[:, 0])
    return model.on_face(maps)


def last_maps(model: TorchModel) -> nn.Module:
    """The module that gives the last convolution's maps A_k: after its norm and activation, before any pooling.

    A raw convolution without bias, as norms follow it, has an offset a channel that says nothing of places and that
    the ReLU of the map would cut by.
    """
    order = run_order(model)
    last = max(index for index, (_, module, _) in enumerate(order) if isinstance(module, nn.Conv2d))
    shape = order[last][2]
    found: nn.Module = order[last][1]
    for _, module, its_shape in order[last:]:
        if its_shape != shape:
            break
        found = module
    return found
