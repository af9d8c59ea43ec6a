"""Backbones of timm with pretrained weights: Wightman, PyTorch Image Models, 2019."""

import difflib
import logging
import warnings
from pathlib import Path
from typing import Annotated, Any

import safetensors
import safetensors.torch
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mien.base.errors import MissingExtraError, ModelError, RecipeError, needs_extra, reason_of
from mien.base.progress import busy
from mien.models.network import Dropout, Network


class TimmNetwork(Network):
    """A timm backbone, dropout, and a linear head.

    For grey faces the first layer has one channel. If it was pretrained on colour, timm sums its weights for red, green
    and blue. Since a grey image has three equal channels, this gives the same output with a third of the layer's work:
    w_r x + w_g x + w_b x = (w_r + w_g + w_b) x.

    The constructor draws random weights and needs no files; see :meth:`load_pretrained`.

    Args:
        backbone: name in timm, with or without a tag: ``resnet18``, ``resnet18.a1_in1k``.
        pretrained: whether :meth:`load_pretrained` loads weights.
        weights: path of a safetensors file with weights; empty: they come from the Hugging Face hub or its cache.
        upsample_px: input side of the backbone, 0 for that of the images. Other images (``progressive_resizing``) are
            resized to it bilinearly, because some backbones work at one size only.

    Raises:
        RecipeError: unknown backbone, or one without this side or number of channels; contradicting settings.
        MissingExtraError: timm is not installed, or its torchvision does not match torch.
    """

    def __init__(
        self, classes: int, size_px: int, channels: int, backbone: str = "resnet18", pretrained: bool = True,
        weights: str = "", upsample_px: Annotated[int, Field(ge=0, le=1024)] = 0, dropout: Dropout = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if weights and not pretrained:
            words = f"The recipe has both model.pretrained = false and model.weights = '{weights}'; remove one of them."
            raise RecipeError(words, code="model-setting")
        if 0 < upsample_px < size_px:
            words = f"model.upsample_px = {upsample_px} is smaller than the input, {size_px} px; 0 means no upsampling."
            raise RecipeError(words, code="model-setting")
        self._side_px = upsample_px or size_px
        self._name, self._pretrained, self._weights = backbone, pretrained, weights
        self._channels = channels
        built = _build(backbone, channels)
        self._source: dict[str, Any] = built.pretrained_cfg
        self.backbone: nn.Module = built
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        self.head: nn.Linear = nn.Linear(self._width(), classes)
        if pretrained:
            known = None if weights else self._source.get("license")
            self.licence = f"that of the pretrained weights: {known or 'not known'}"

    def features(self, images: Tensor) -> Tensor:
        """Compute features as in :class:`Network`; D depends on the backbone."""
        side = (self._side_px, self._side_px)
        if images.shape[2:] != side:
            images = functional.interpolate(images, side, mode="bilinear", align_corners=False)
        features: Tensor = self.dropout(self.backbone(images))
        return features

    def parts(self) -> list[nn.Module]:
        """Return the backbone's parts, then the head."""
        return [*self.backbone.children(), self.head]

    def load_pretrained(self) -> Path | None:
        """Load the pretrained weights.

        Raises ModelError: the file is missing, damaged, not safetensors, or of another network; or the weights are not
        in the cache and cannot be downloaded.
        """
        if not self._pretrained:
            return None
        file = Path(self._weights) if self._weights else _from_hub(self._name, self._source)
        self.backbone.load_state_dict(_pretrained_state(self._name, self._source, file, self._channels))
        return file

    def _width(self) -> int:
        """Compute D with one black image. This also checks that the backbone works at this side."""
        self.backbone.eval()
        try:
            with torch.inference_mode():
                shape = self.backbone(torch.zeros(1, self._channels, self._side_px, self._side_px)).shape
        except (RuntimeError, AssertionError, ValueError, IndexError, ZeroDivisionError):
            shape = ()
        self.backbone.train()
        if len(shape) != 2:
            words = f"The backbone {self._name} does not work on images of {self._side_px} px. "
            words += f"Set model.upsample_px = {self._source['input_size'][-1]}, or choose another backbone."
            raise RecipeError(words, code="model-setting")
        return int(shape[1])


def import_timm() -> Any:
    """Import timm. Raises MissingExtraError if it is not installed, or its torchvision does not match torch."""
    with needs_extra("timm", "A timm backbone"), warnings.catch_warnings():
        # torchvision gives warnings about missing image readers, which mien does not use.
        warnings.simplefilter("ignore")
        try:
            import timm
        except ModuleNotFoundError:
            raise
        except (ImportError, RuntimeError, AttributeError, OSError) as error:
            # A torchvision built for another torch raises: "operator torchvision::nms does not exist".
            words = f"timm fails ({reason_of(error)}). Install the torchvision of torch {torch.__version__}."
            raise MissingExtraError(words) from None
    return timm


def _build(name: str, channels: int) -> Any:
    """Build a backbone with random weights and ``channels`` input channels, which returns features."""
    timm = import_timm()
    known = {*timm.list_models(), *timm.list_models(include_tags=True)}
    if name not in known:
        close = difflib.get_close_matches(name, sorted(known))
        hint = f"Close: {', '.join(close)}" if close else "timm.list_models() lists all"
        raise RecipeError(f"timm {timm.__version__} has no backbone '{name}'. {hint}.", code="model-setting")
    try:
        return timm.create_model(name, pretrained=False, in_chans=channels, num_classes=0)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        words = f"The backbone {name} cannot be built for {'grey' if channels == 1 else 'RGB'} images: {error}."
        raise RecipeError(words, code="model-setting") from None


def _from_hub(name: str, source: dict[str, Any]) -> Path:
    """Return the file of a backbone's pretrained weights from the hub's cache; download it if necessary."""
    import huggingface_hub
    from huggingface_hub.utils.tqdm import disable_progress_bars

    repository, file = source.get("hf_hub_id"), source.get("hf_hub_filename") or "model.safetensors"
    instead = "Give a file in model.weights, or set model.pretrained=false to start from random weights."
    if not repository:
        raise ModelError(f"timm has no pretrained weights for the backbone {name}. {instead}", code="model-setting")
    cached = huggingface_hub.try_to_load_from_cache(repository, file)
    if isinstance(cached, str):
        return Path(cached)
    # Without a connection the hub would print each attempt, and its progress bar would disturb mien's.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        with busy(f"fetching {repository} from the Hugging Face hub"):
            return Path(huggingface_hub.hf_hub_download(repository, file))
    except Exception as error:  # noqa: BLE001 - the hub's and its transport's errors share no base class below Exception
        words = f"The weights {file} of {repository} could not be fetched: {reason_of(error)}. {instead}"
        raise ModelError(words, code="weights-unreadable") from None


def _pretrained_state(name: str, source: dict[str, Any], file: Path, channels: int) -> dict[str, Tensor]:
    """Convert a file's weights for the backbone: sum the first layer over colours for grey, drop the classifier."""
    classifier = source.get("classifier") or ""
    try:
        # Do not unpickle the file, which could run any code in it.
        tensors = safetensors.torch.load_file(file)
        # With the same number of classes as the file, timm checks that every weight fits. Otherwise timm skips weights
        # that do not fit, and accepts a wrong file.
        rows = tensors.get(f"{classifier if isinstance(classifier, str) else classifier[0]}.weight")
        classes = 0 if rows is None else len(rows)
        whole = import_timm().create_model(
            name,
            pretrained=True,
            in_chans=channels,
            num_classes=classes,
            pretrained_cfg_overlay={"state_dict": tensors, "num_classes": classes, "label_offset": 0},
        )
    except (safetensors.SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError, AssertionError):
        words = f"{file} (model.weights) is missing, damaged, or no safetensors file of timm's {name}."
        raise ModelError(words, code="weights-unreadable") from None
    whole.reset_classifier(0)
    state: dict[str, Tensor] = whole.state_dict()
    return state
