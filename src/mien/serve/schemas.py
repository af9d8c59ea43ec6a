"""Parameters of requests, and answers of the service. FastAPI serialises the answers from these models."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from mien.base.model_file import Manifest
from mien.serve.api_errors import ErrorResponse
from mien.serve.detect import PredictedImage


class FaceParameters(BaseModel):
    """The query of a request about the faces in a photo or a frame. Any other parameter is refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    classes: str | None = Field(
        default=None,
        max_length=1000,
        description="label scheme: all, seven, six, five, three, binary, binary-with-disgust, or your own, "
        "'good=happy+surprise,bad=angry+fear+sad'; probabilities are summed",
        examples=["binary"],
    )
    output: str | None = Field(
        default=None,
        max_length=100,
        description="which output of the model answers, by its name in the manifest of /v1/model; the default is "
        "'answer' where the model has a rule for it, else the output taught by votes, else its only one",
        examples=["fer2013"],
    )
    min_score: float | None = Field(
        default=None, ge=0, description="leave out faces of a lower detector score, 0..1; the default is the detector's"
    )
    min_size: int | None = Field(
        default=None, ge=1, description="leave out faces whose longer side has fewer pixels", examples=[24]
    )
    max_faces: int | None = Field(
        default=None,
        ge=1,
        description="classify only this many of the largest faces; without it all, or an error if there are too many",
    )


class PredictParameters(FaceParameters):
    """The query of a request for predictions. Any other parameter is refused."""

    crops: bool = Field(default=False, description="each image is a face crop, about as tight as FER2013's")


class BoxResponse(BaseModel):
    """Where a face is, in pixels of the upright image."""

    left: int
    top: int
    width: int
    height: int


class FaceResponse(BaseModel):
    """The expression that the model predicts for one face. It says nothing about what the person feels."""

    source: str = Field(description="'image 3': the third file")
    box: BoxResponse | None = Field(default=None, description="missing with crops")
    detection_score: float | None = Field(
        default=None, description="the detector's own score, not calibrated; missing with crops"
    )
    landmarks: dict[str, tuple[float, float]] | None = Field(
        default=None,
        description="eyes, nose and corners of the mouth, x and y in pixels; missing with crops",
    )
    output: str | None = Field(default=None, description="the output that answered; missing if it has no name")
    answer: str = Field(description="an expression, 'unsure' or 'not-a-face'; without votes in training as `top`")
    top: str = Field(description="the predicted class: the most probable one")
    # Not bounded to 1 here: a sum of probabilities may exceed it in the last bit, and that is no defect.
    confidence: float = Field(description="the model's probability of `top`, 0..1")
    in_doubt: bool = Field(description="whether it is unsure, has alternatives, or, of a label's output, is below 0.5")
    alternatives: list[str] = Field(description="expressions nearly as probable as `top`, the first one first")
    unsure: bool | None = Field(
        default=None,
        description="no expression reaches the limit of the model's rule, or without one 0.5; missing unless the "
        "output was taught by votes",
    )
    not_a_face: bool | None = Field(
        default=None, description="`top` is 'not-a-face'; missing unless the output was taught by votes"
    )
    derived_valence: float | None = Field(
        default=None,
        description="-1 (unpleasant) to 1, a mean over expressions and no measurement of a person; missing unless the "
        "output was taught by votes",
    )
    derived_arousal: float | None = Field(default=None, description="likewise, -1 (calm) to 1")
    probabilities: dict[str, float] = Field(description="of each class; they sum to 1")


class ImageSize(BaseModel):
    """Pixels of the upright image."""

    width: int
    height: int


class ImageResponse(BaseModel):
    """The faces of one image."""

    image: ImageSize
    faces: list[FaceResponse] = Field(description="the largest first")
    faces_found: int = Field(description="more than `faces` holds if max_faces left some out")
    hint: str | None = Field(
        default=None, description="says so where a photo may have been sent as a face crop, or a face crop as a photo"
    )
    hint_code: str | None = Field(default=None, description="of the hint: photo-as-crop or crops-as-photos")

    @classmethod
    def of(cls, image: PredictedImage, **others: Any) -> Self:
        """The answer about an image; ``others`` are further fields."""
        hint = image.hint
        return cls(
            image=ImageSize(width=image.width, height=image.height),
            faces=[FaceResponse.model_validate(each.to_dict()) for each in image.predictions],
            faces_found=image.found,
            hint=None if hint is None else f"{hint[0].upper()}{hint[1:]}",
            hint_code=None if hint is None else hint.code,
            **others,
        )


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    sha256: str = Field(description="of the model file")


class _Answer(BaseModel):
    model: ModelName
    detector: str | None = Field(default=None, description="what detected the faces; missing with crops")
    milliseconds: float = Field(description="from the complete request to the answer")


class PredictResponse(_Answer, ImageResponse):
    """The answer about one image."""


class BatchResponse(_Answer):
    """The answer about several images."""

    results: list[ImageResponse | ErrorResponse] = Field(description="one for each file, in their order")


class ModelResponse(ModelName):
    """The model, and the detector that finds faces for it."""

    detector: str
    manifest: Manifest


class HealthResponse(BaseModel):
    """The state of the service."""

    status: str
