"""What goes in beside the picture, and what comes out, as the OpenAPI document says it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mien.artifact import Manifest
from mien.serve.refusals import CODES


class Wishes(BaseModel):
    """The query of a request that reads pictures. Whatever else it holds is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crops: bool = Field(default=False, description="each picture is a face already, cut out as FER2013's are")
    classes: str | None = Field(
        default=None,
        max_length=1000,
        description="label scheme: all, seven, six, five, three, binary, binary-with-disgust, or one's own, "
        "'good=happy+surprise,bad=angry+fear+sad'; probabilities are summed",
        examples=["binary"],
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of two classes, a face is the positive one (or the second) from this probability up",
        examples=[0.6],
    )
    max_faces: int | None = Field(
        default=None, ge=1, description="the largest so many faces are read; without it, all, or none if too many"
    )


class BoxAnswer(BaseModel):
    """Where a face is, in pixels of the upright picture; parts of it may lie outside."""

    left: int
    top: int
    width: int
    height: int


class FaceAnswer(BaseModel):
    """The expression in one face, as the model reads it. It is no statement of what anybody feels."""

    source: str = Field(description="'image 3': the third file")
    box: BoxAnswer | None = Field(default=None, description="missing with crops")
    top: str = Field(description="the likeliest class, or what the threshold says")
    confidence: float = Field(ge=0, le=1, description="the calibrated probability of that class")
    probabilities: dict[str, float] = Field(description="of every class; they sum to 1")


class PictureSize(BaseModel):
    """Pixels of the upright picture."""

    width: int
    height: int


class PictureAnswer(BaseModel):
    """What was read in one picture."""

    picture: PictureSize
    faces: list[FaceAnswer] = Field(description="the largest first")
    faces_found: int = Field(description="more than `faces` holds where max_faces left some out")


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    sha256: str = Field(description="of the model file")


class Answer(PictureAnswer):
    """The answer about one picture."""

    model: ModelName
    detector: str | None = Field(default=None, description="what found the faces; missing with crops")
    milliseconds: float = Field(description="from the complete request to the answer")


class Fault(BaseModel):
    """Why something was refused."""

    code: Annotated[str, Field(json_schema_extra={"enum": [*CODES]})]
    message: str


class ErrorAnswer(BaseModel):
    """Every error."""

    error: Fault


class BatchAnswer(BaseModel):
    """The answer about several pictures."""

    model: ModelName
    detector: str | None = Field(default=None, description="what found the faces; missing with crops")
    results: list[PictureAnswer | ErrorAnswer] = Field(description="one for each file, in their order")
    milliseconds: float


class ModelAnswer(ModelName):
    """What the model is, and what finds faces for it."""

    detector: str
    manifest: Manifest


class Health(BaseModel):
    """How the service is."""

    status: str
