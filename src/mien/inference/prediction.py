"""Predictions for one face, and for all faces of one photo."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.heads.label import AGREEMENT, TIE_MARGIN, Decisions, decide
from mien.base.labels import NOT_A_FACE_CLASS, UNSURE
from mien.faces.face import Box
from mien.inference.drawing import Look, draw_face, draw_photo, share_text

if TYPE_CHECKING:
    from PIL.Image import Image


def prediction_fields(output: str | None, perceived: bool) -> tuple[str, ...]:
    """As :attr:`Prediction.fields`."""
    named = () if output is None else ("output",)
    by_votes = ("unsure", "not_a_face", "derived_valence", "derived_arousal") if perceived else ()
    return (*named, "answer", "top", "confidence", "in_doubt", "alternatives", *by_votes)


def answer_text(answer: str, alternatives: Sequence[str]) -> str:
    """An answer with its alternatives in words.

    >>> answer_text("neutral", ["happy"]), answer_text("sad", ["fear", "angry"]), answer_text("unsure", ["sad"])
    ('neutral or happy', 'sad, fear or angry', 'unsure')
    """
    if not alternatives or answer == UNSURE:
        return answer
    return f"{', '.join((answer, *alternatives[:-1]))} or {alternatives[-1]}"


@dataclass(frozen=True, repr=False, eq=False)
class Prediction:
    """The expression that a model predicts for one face. It says nothing about what the person feels.

    A notebook shows it as the face beside a bar for each class.

    Attributes:
        source: the image file, or ``"image 3"`` for the third array.
        classes: class names.
        probability_vector: float64 (C,), the probability of each class in the order of ``classes``; sums to 1.
        box: where the face was detected, in pixels of the upright image; all of :attr:`crop` where that was the image.
        crop: the face crop that the model saw, uint8 (S, S), of a colour model (S, S, 3).
        detection_score: the detector's own score, see :attr:`mien.faces.Face.score`; None without a detection.
        output: name of the model's output that answered; None for a model without named outputs.
        perceived: whether votes taught the output, so that it may be unsure or say that this is not a face.
        unsure_below: probability of the top expression below which it is unsure.
        margin: an expression less likely than the top by less than this is an alternative.
        derived_valence: -1 (unpleasant) to 1, the mean of the expressions' valences weighted by how many people would
            choose each; None unless ``perceived``. It is no measurement of a person: :mod:`mien.base.heads.affect`.
        derived_arousal: likewise, -1 (calm) to 1.
        landmarks: as :attr:`mien.faces.Face.landmarks`; empty without a detection.
    """

    source: str
    classes: tuple[str, ...]
    probability_vector: npt.NDArray[np.float64]
    box: Box = field(default=Box(0, 0, 1, 1))
    crop: npt.NDArray[np.uint8] | None = None
    detection_score: float | None = None
    output: str | None = None
    perceived: bool = False
    unsure_below: float = AGREEMENT
    margin: float = TIE_MARGIN
    landmarks: dict[str, tuple[float, float]] = field(default_factory=dict)
    derived_valence: float | None = None
    derived_arousal: float | None = None

    def __eq__(self, other: object) -> bool:
        """Whether all but the crop is equal, probabilities to the bit."""
        return self._compared == other._compared if isinstance(other, Prediction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[Any, ...]:
        vector = self.probability_vector.tobytes()
        own = (self.source, self.classes, vector, self.box, self.detection_score, self.unsure_below, self.margin)
        return *own, self.output, self.perceived, tuple(self.landmarks.items())

    def __repr__(self) -> str:
        place = "" if self.detection_score is None else f" at {self.box}"
        return f"<Prediction {self.text!r} of {self.source}{place}>"

    @property
    def top(self) -> str:
        """The class of highest probability."""
        return self.classes[self._top]

    @property
    def confidence(self) -> float:
        """Probability of :attr:`top`, 0..1."""
        return float(self.probability_vector[self._top])

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability of each class by name, 0..1; they sum to 1."""
        return dict(zip(self.classes, self.probability_vector.tolist(), strict=True))

    @property
    def not_a_face(self) -> bool | None:
        """Whether ``not-a-face`` is the class of highest probability; None unless :attr:`perceived`."""
        return self.top == NOT_A_FACE_CLASS if self.perceived else None

    @property
    def unsure(self) -> bool | None:
        """Whether no expression reaches :attr:`unsure_below`. None unless :attr:`perceived`.

        False where the answer is not a face.
        """
        return not (self.not_a_face or self._decisions.likely[0]) if self.perceived else None

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The expressions that are nearly as likely as :attr:`top`, the most probable first: a tie; often empty."""
        tied = np.flatnonzero(self._decisions.tied[0])
        return tuple(self.classes[at] for at in tied[np.argsort(-self.probability_vector[tied], kind="stable")])

    @property
    def in_doubt(self) -> bool:
        """Whether it has :attr:`alternatives` or is unsure, or, unless :attr:`perceived`, is below one half."""
        unsure = self.confidence < AGREEMENT if self.unsure is None else self.unsure
        return unsure or bool(self.alternatives)

    @property
    def answer(self) -> str:
        """An expression, ``"unsure"`` or ``"not-a-face"``; :attr:`top` unless :attr:`perceived`.

        docs/predict.md has the rule.
        """
        return UNSURE if self.unsure else self.top

    @property
    def text(self) -> str:
        """The answer in a few words, with the confidence if it is firm: ``"happy 94%"``, ``"neutral or happy"``."""
        plain = self.unsure or self.not_a_face or self.alternatives
        return answer_text(self.answer, self.alternatives) + ("" if plain else f" {share_text(self.confidence)}")

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of what :meth:`to_dict` and tables say beside place and probabilities."""
        return prediction_fields(self.output, self.perceived)

    @cached_property
    def _decisions(self) -> Decisions:
        return decide(self.probability_vector[np.newaxis], self.classes, self.unsure_below, self.margin)

    @cached_property
    def _top(self) -> int:
        return int(self._decisions.top[0])

    def show(self) -> Image:
        """Draw the face crop, enlarged, beside a bar for each class.

        Raises:
            DataError: the prediction was made without its face crop (``crop-missing``).
        """
        if self.crop is None:
            raise DataError("This prediction has no face crop to show. Predict the image again.", code="crop-missing")
        return draw_face(self.crop, self.probabilities, "" if self.unsure else self.top)

    def _repr_png_(self) -> bytes | None:
        """How a notebook shows it: :meth:`show` as PNG."""
        if self.crop is None:
            return None
        stream = io.BytesIO()
        self.show().save(stream, "PNG")
        return stream.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: source, what :attr:`fields` names, probabilities; of a detected face box, score and landmarks."""
        score = self.detection_score
        landmarks = {name: [round(x, 1), round(y, 1)] for name, (x, y) in self.landmarks.items()}
        return {
            "source": self.source,
            **({} if score is None else {"box": self.box.to_dict(), "detection_score": score}),
            **({"landmarks": landmarks} if landmarks else {}),
            **{name: getattr(self, name) for name in self.fields},
            "alternatives": list(self.alternatives),
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class Photo:
    """The faces and predictions of one photo, or of one face crop.

    Attributes:
        source: the image file, or ``"image 3"`` for the third array.
        width: of the upright image, in pixels; of a face crop the model's image size.
        height: as width.
        detector: name of the detector; None for a face crop.
        predictions: one for each face, the largest first; one for a face crop.
        rgb: the upright image, uint8 (height, width, 3); None for a face crop.
    """

    source: str
    width: int
    height: int
    detector: str | None
    predictions: list[Prediction] = field(hash=False)
    rgb: npt.NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    def draw(self, **look: Unpack[Look]) -> Image:
        """A copy of the photo, an RGB image, with the box and the answer of each face drawn in.

        Args:
            **look: ``line_px``, ``text_px`` and ``colours``, as :func:`mien.inference.drawing.draw_predictions` has
                them.

        Raises:
            DataError: a face crop (``photo-missing``): :meth:`Prediction.show` draws that.
        """
        if self.rgb is None:
            raise DataError(f"{self.source} is a face crop; draw it with .predictions[0].show().", code="photo-missing")
        return draw_photo(self.rgb, self.predictions, **look)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: source, image (width and height), detector, and faces as :meth:`Prediction.to_dict`.

        Of a face crop :meth:`Prediction.to_dict` alone.
        """
        if self.detector is None:
            return self.predictions[0].to_dict()
        return {
            "source": self.source,
            "image": {"width": self.width, "height": self.height},
            "detector": self.detector,
            "faces": [prediction.to_dict() for prediction in self.predictions],
        }
