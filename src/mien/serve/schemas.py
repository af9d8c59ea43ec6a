"""Schemas of request parameters and answers, from which FastAPI serialises."""

from pydantic import BaseModel, Field

from mien.base.model_file import Manifest
from mien.serve.api_errors import ErrorResponse


class FaceParameters(BaseModel, extra="forbid", frozen=True):
    """Query parameters of a request about faces in a photo or frame; any other is refused."""

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
        description="output of the model that gives the answer, named as in the manifest of /v1/model; default: "
        "'answer' if the model has a rule, else the output trained on votes, else its only output",
        examples=["fer2013"],
    )
    min_score: float | None = Field(None, ge=0, description="lowest detector score of a face, 0..1; default: its own")
    min_size: int | None = Field(None, ge=1, description="smallest longer side of a face, in pixels", examples=[24])
    max_faces: int | None = Field(
        None, ge=1, description="number of largest faces to classify; by default all, or an error if there are too many"
    )

    @property
    def detects(self) -> bool:
        """Return whether faces are detected in the images."""
        return not getattr(self, "crops", False)


class PredictParameters(FaceParameters):
    """Query parameters of a request for predictions; any other is refused."""

    crops: bool = Field(False, description="each image is a face crop, about as tight as FER2013's")


class BoxResponse(BaseModel):
    """Position of a face, in pixels of the upright image."""

    left: int
    top: int
    width: int
    height: int


class FaceResponse(BaseModel):
    """The expression that the model predicts for one face. It says nothing about what the person feels."""

    source: str = Field(description="name of the image: 'image 3' is the third file")
    box: BoxResponse | None = Field(None, description="missing with crops")
    detection_score: float | None = Field(None, description="of the detector, not calibrated; missing with crops")
    landmarks: dict[str, tuple[float, float]] | None = Field(
        None, description="x and y in pixels of eyes, nose and mouth corners; missing with crops"
    )
    output: str | None = Field(None, description="output that gives the answer; missing if it has no name")
    answer: str = Field(description="an expression, 'unsure' or 'not-a-face'; equals `top` if trained on labels")
    top: str = Field(description="the most probable class")
    # Do not limit it to 1, because rounding may make a sum of probabilities slightly larger.
    confidence: float = Field(description="the model's probability of `top`, 0..1")
    in_doubt: bool = Field(description="true if unsure, with alternatives, or, for a label's output, below 0.5")
    alternatives: list[str] = Field(description="expressions nearly as probable as `top`, the most probable first")
    # The next four are missing unless the output was trained on votes.
    unsure: bool | None = Field(None, description="true if no expression reaches the rule's limit; only of votes")
    not_a_face: bool | None = Field(None, description="true if `top` is 'not-a-face'; only of votes")
    derived_valence: float | None = Field(
        None, description="-1 (unpleasant) to 1, derived from probabilities, not measured; only of votes"
    )
    derived_arousal: float | None = Field(None, description="-1 (calm) to 1, derived like the valence")
    valence: float | None = Field(None, description="-1 (unpleasant) to 1; only if the model learned ratings")
    arousal: float | None = Field(None, description="-1 (calm) to 1; only if the model learned ratings")
    probabilities: dict[str, float] = Field(description="probability of each class; they sum to 1")


class ImageSize(BaseModel):
    """Size of the upright image in pixels."""

    width: int
    height: int


class ImageResponse(BaseModel):
    """The faces of one image."""

    image: ImageSize
    faces: list[FaceResponse] = Field(description="faces, the largest first")
    faces_found: int = Field(description="number of detected faces, including those left out by max_faces")
    hint: str | None = Field(None, description="notice that a photo may have been sent as a face crop, or the reverse")
    hint_code: str | None = Field(None, description="code of the hint: photo-as-crop or crops-as-photos")


class ModelName(BaseModel):
    """Name and digest of the model."""

    name: str
    sha256: str = Field(description="SHA-256 of the model file")


class _Answer(BaseModel):
    model: ModelName
    detector: str | None = Field(None, description="name of the face detector; missing with crops")
    milliseconds: float = Field(description="milliseconds from the complete request to the answer")


class PredictResponse(_Answer, ImageResponse):
    """The answer to a request with one image."""


class BatchResponse(_Answer):
    """The answer to a request with several images."""

    results: list[ImageResponse | ErrorResponse] = Field(description="one result per file, in order")


class ModelResponse(ModelName):
    """The model and the face detector."""

    detector: str
    manifest: Manifest


class HealthResponse(BaseModel):
    """The answer of the health check."""

    status: str
