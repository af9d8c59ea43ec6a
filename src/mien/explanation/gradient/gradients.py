"""Vanilla gradient: how much each pixel changes a class's probability."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mien.explanation.gradient.torch_model import TorchModel


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
