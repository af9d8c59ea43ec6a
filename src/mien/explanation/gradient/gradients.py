"""Maps from the gradient of a class's probability with respect to the pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from torch import Tensor

from mien.explanation.gradient.torch_model import TorchModel

Images = npt.NDArray[np.uint8]
Targets = npt.NDArray[np.int64]
Maps = npt.NDArray[np.float32]


def gradient(model: TorchModel, images: Images, targets: Targets | None = None, *, seed: int = 0) -> Maps:
    """Vanilla gradient: the largest absolute gradient of the predicted probability over channels.

    Simonyan, Vedaldi & Zisserman, Deep Inside Convolutional Networks, 2014, section 3, on the probability after
    the softmax, as Study B did.

    Args:
        model: the network.
        images: uint8 (N, size_px, size_px[, 3]).
        targets: int64 (N,), the class to explain of each face; None explains the predicted one.
        seed: not used; every method takes one.

    Returns:
        float32 (N, size_px, size_px), 0 or more; 0 outside the central crop that the network sees.
    """

    def map_of(inputs: Tensor, chosen: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(_of_class(model.probabilities(inputs), chosen).sum(), inputs)
        return slope.abs().amax(dim=1)

    return model.maps(images, targets, map_of)


def smoothgrad(
    model: TorchModel,
    images: Images,
    targets: Targets | None = None,
    *,
    seed: int = 0,
    samples: int = 32,
    noise: float = 0.15,
) -> Maps:
    """SmoothGrad: the gradient averaged over noisy copies of the face, then as :func:`gradient`.

    Smilkov et al., SmoothGrad: removing noise by adding noise, 2017: 10 to 20% noise, and little is gained
    beyond 50 samples. Face by face with the same seed, so a face's map does not depend on its neighbours.

    Args:
        model: the network.
        images: uint8 (N, size_px, size_px[, 3]).
        targets: int64 (N,) or None, as in :func:`gradient`.
        seed: of the noise; torch's global generator is left as it was.
        samples: noisy copies of each face.
        noise: standard deviation of the noise, as a fraction of the face's own range of grey.

    Returns:
        float32 (N, size_px, size_px), 0 or more.
    """
    tunnel = NoiseTunnel(Saliency(model.probabilities))

    def map_of(inputs: Tensor, chosen: Tensor) -> Tensor:
        spread = float(inputs.detach().max() - inputs.detach().min())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            slope: Tensor = tunnel.attribute(
                inputs, nt_type="smoothgrad", nt_samples=samples, stdevs=noise * spread, target=chosen, abs=False
            )
        return slope.detach().abs().amax(dim=1)

    return model.maps(images, targets, map_of, size=1)


def integrated_gradients(
    model: TorchModel, images: Images, targets: Targets | None = None, *, seed: int = 0, steps: int = 32
) -> Maps:
    """Integrated gradients of the probability along the line from :func:`blank_faces` to the face.

    Sundararajan, Taly & Yan, Axiomatic Attribution for Deep Networks, ICML 2017, equation 1; the integral by
    Gauss-Legendre quadrature. A face's map sums to its probability minus that of its blank face (completeness).

    Args:
        model: the network.
        images: uint8 (N, size_px, size_px[, 3]).
        targets: int64 (N,) or None, as in :func:`gradient`.
        seed: not used.
        steps: points of the quadrature.

    Returns:
        float32 (N, size_px, size_px): above 0 where a pixel spoke for the class, below 0 where against it.
    """
    method = IntegratedGradients(model.probabilities)

    def map_of(inputs: Tensor, chosen: Tensor) -> Tensor:
        shares: Tensor = method.attribute(
            inputs, baselines=blank_faces(inputs), target=chosen, n_steps=steps, method="gausslegendre"
        )
        return shares.detach().sum(dim=1)

    return model.maps(images, targets, map_of, size=8)


def blank_faces(inputs: Tensor) -> Tensor:
    """The baseline: each face wiped to its own mean grey or colour. It has the face's brightness, and no face."""
    return inputs.detach().mean(dim=(2, 3), keepdim=True).expand_as(inputs).contiguous()


def _of_class(probabilities: Tensor, chosen: Tensor) -> Tensor:
    return probabilities.gather(1, chosen.unsqueeze(1)).squeeze(1)
