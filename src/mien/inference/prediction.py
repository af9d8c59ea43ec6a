"""Predictions for one face, and for all faces of a photo."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from mien.base.arrays import Floats, Pixels
from mien.base.errors import DataError, share_text
from mien.base.heads import AGREEMENT, TIE_MARGIN, Decisions, decide
from mien.base.images import encoded
from mien.base.labels import NOT_A_FACE_CLASS, UNSURE
from mien.faces.face import Box
from mien.inference.drawing import Look, draw_face, draw_predictions

if TYPE_CHECKING:
    from PIL.Image import Image


def prediction_fields(output: str | None, perceived: bool, further: Iterable[str]) -> tuple[str, ...]:
    """Return the names in :attr:`Prediction.fields`."""
    named, by_votes = () if output is None else ("output",), ("unsure", "not_a_face") if perceived else ()
    return (*named, "answer", "top", "confidence", "in_doubt", "alternatives", *by_votes, *further)


def answer_text(answer: str, alternatives: Sequence[str]) -> str:
    """Format an answer with its alternatives.

    >>> answer_text("neutral", ["happy"]), answer_text("sad", ["fear", "angry"]), answer_text("unsure", ["sad"])
    ('neutral or happy', 'sad, fear or angry', 'unsure')
    """
    if not alternatives or answer == UNSURE:
        return answer
    return f"{', '.join((answer, *alternatives[:-1]))} or {alternatives[-1]}"


@dataclass(frozen=True, repr=False, eq=False)
class Prediction:
    """The expression that a model predicts for one face. A prediction says nothing about what the person feels.

    In a notebook it is shown as the face beside a bar for each class.

    Attributes:
        source: path of the image, or ``"image 3"`` for the third array.
        classes: class names.
        probability_vector: float64 (C,), probabilities in the order of ``classes``; they sum to 1.
        box: box of the face in pixels of the upright image; for a face crop, the whole of :attr:`crop`.
        crop: face crop seen by the model, uint8 (S, S), or (S, S, 3) for a colour model.
        detection_score: score of the detector, see :attr:`mien.faces.Face.score`; None without detection.
        output: name of the model's output in use; None for a model without named outputs.
        perceived: whether the output was trained on votes. If True, the answer may be "unsure" or "not-a-face".
        unsure_below: probability of the top expression below which the answer is "unsure".
        margin: expressions are alternatives if their probability is below the top one by less than this.
        further: further values of the face, by name.
        landmarks: landmarks, as in :attr:`mien.faces.Face.landmarks`; empty without detection.
        blurred: whether a detected face is too blurred or too small to trust the answer: it is in doubt, and "unsure"
            if :attr:`perceived`.
    """

    source: str
    classes: tuple[str, ...]
    probability_vector: Floats
    box: Box = field(default=Box(0, 0, 1, 1))
    crop: Pixels | None = None
    detection_score: float | None = None
    output: str | None = None
    perceived: bool = False
    unsure_below: float = AGREEMENT
    margin: float = TIE_MARGIN
    landmarks: dict[str, tuple[float, float]] = field(default_factory=dict)
    further: dict[str, float] = field(default_factory=dict)
    blurred: bool = False

    def __eq__(self, other: object) -> bool:
        """Compare all fields except the crop; probabilities must be exactly equal."""
        return self._compared == other._compared if isinstance(other, Prediction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[Any, ...]:
        vector = self.probability_vector.tobytes()
        own = (self.source, self.classes, vector, self.box, self.detection_score, self.unsure_below, self.margin)
        return *own, self.output, self.perceived, self.blurred, *self.landmarks.items(), *self.further.items()

    def __repr__(self) -> str:
        place = "" if self.detection_score is None else f" at {self.box}"
        return f"<Prediction {self.text!r} of {self.source}{place}>"

    @property
    def top(self) -> str:
        """The most probable class."""
        return self.classes[int(self._decisions.top[0])]

    @property
    def confidence(self) -> float:
        """Probability of :attr:`top`, 0..1."""
        return float(self.probability_vector[self._decisions.top[0]])

    @property
    def probabilities(self) -> dict[str, float]:
        """Probabilities by class name, 0..1; they sum to 1."""
        return dict(zip(self.classes, self.probability_vector.tolist(), strict=True))

    @property
    def not_a_face(self) -> bool | None:
        """Whether ``not-a-face`` is the most probable class; None unless :attr:`perceived`."""
        return self.top == NOT_A_FACE_CLASS if self.perceived else None

    @property
    def unsure(self) -> bool | None:
        """Whether no expression reaches :attr:`unsure_below`, four or more compete, or it is :attr:`blurred`.

        None unless :attr:`perceived`; False if the answer is "not-a-face".
        """
        return not self.not_a_face and bool(self.blurred or not self._decisions.likely[0]) if self.perceived else None

    @property
    def alternatives(self) -> tuple[str, ...]:
        """Expressions nearly as probable as :attr:`top`, the most probable first; often empty."""
        tied = np.flatnonzero(self._decisions.tied[0])
        return tuple(self.classes[at] for at in tied[np.argsort(-self.probability_vector[tied], kind="stable")])

    @property
    def in_doubt(self) -> bool:
        """Return whether the answer is unsure or has :attr:`alternatives`; unless :attr:`perceived`, below 0.5."""
        doubt = self.confidence < AGREEMENT if self.unsure is None else self.unsure
        return doubt or self.blurred or bool(self.alternatives)

    @property
    def answer(self) -> str:
        """The answer: an expression, ``"unsure"`` or ``"not-a-face"``; :attr:`top` unless :attr:`perceived`.

        docs/predict.md gives the rule.
        """
        return UNSURE if self.unsure else self.top

    @property
    def text(self) -> str:
        """The answer as text, with the confidence if it is not in doubt: ``"happy 94%"``, ``"neutral or happy"``."""
        plain = self.unsure or self.not_a_face or self.alternatives
        return answer_text(self.answer, self.alternatives) + ("" if plain else f" {share_text(self.confidence)}")

    @property
    def derived_valence(self) -> float | None:
        """Mean valence of the expressions, -1 (unpleasant) to 1, weighted by the shares of people.

        None unless :attr:`perceived`. It measures no person: :func:`mien.base.heads.derived_affect`.
        """
        return self.further.get("derived_valence")

    @property
    def derived_arousal(self) -> float | None:
        """Mean arousal, -1 (calm) to 1 (excited), derived like the valence."""
        return self.further.get("derived_arousal")

    @property
    def valence(self) -> float | None:
        """-1 (unpleasant) to 1, as people rated the training images; None unless the model has learned ratings."""
        return self.further.get("valence")

    @property
    def arousal(self) -> float | None:
        """Learned arousal, -1 (calm) to 1 (excited); otherwise like :attr:`valence`."""
        return self.further.get("arousal")

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the values in :meth:`to_dict` and tables, except those of place and probabilities."""
        return prediction_fields(self.output, self.perceived, self.further)

    @cached_property
    def _decisions(self) -> Decisions:
        return decide(self.probability_vector[np.newaxis], self.classes, self.unsure_below, self.margin)

    def show(self) -> "Image":
        """Draw the enlarged face crop beside a bar for each class.

        Raises:
            DataError: the prediction was made without its face crop (``image-missing``).
        """
        if self.crop is None:
            raise DataError("This prediction has no face crop to show. Predict the image again.", code="image-missing")
        return draw_face(self.crop, self.probabilities, "" if self.unsure else self.top)

    def _repr_png_(self) -> bytes | None:
        return None if self.crop is None else encoded(self.show())

    def to_dict(self) -> dict[str, Any]:
        """Return source, :attr:`fields`, probabilities and, after a detection, box, score and landmarks, JSON-ready."""
        score = self.detection_score
        landmarks = {name: [round(x, 1), round(y, 1)] for name, (x, y) in self.landmarks.items()}
        return {
            "source": self.source,
            **({} if score is None else {"box": self.box.to_dict(), "detection_score": score}),
            **({"landmarks": landmarks} if landmarks else {}),
            **{name: self.further[name] if name in self.further else getattr(self, name) for name in self.fields},
            "alternatives": list(self.alternatives),
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class Photo:
    """The faces and predictions of one photo, or of one face crop.

    Attributes:
        source: path of the image, or ``"image 3"`` for the third array.
        width: width of the upright image in pixels; for a face crop the model's image size.
        height: height of the upright image in pixels; for a face crop equal to ``width``.
        detector: name of the detector; None for a face crop.
        predictions: one prediction per face, the largest first; exactly one for a face crop.
        rgb: upright image, uint8 (height, width, 3); None for a face crop.
    """

    source: str
    width: int
    height: int
    detector: str | None
    predictions: list[Prediction] = field(hash=False)
    rgb: Pixels | None = field(default=None, compare=False, repr=False)

    def draw(self, **look: Unpack[Look]) -> "Image":
        """Return a copy of the photo, an RGB image, with the box and answer of each face.

        Args:
            ***look: ``line_px``, ``text_px`` and ``colours``, as in :func:`mien.inference.drawing.draw_predictions`.

        Raises:
            DataError: the result is of a face crop (``image-missing``); draw that with :meth:`Prediction.show`.
        """
        if self.rgb is None:
            raise DataError(f"{self.source} is a face crop; draw it with .predictions[0].show().", code="image-missing")
        return draw_predictions(self.rgb, self.predictions, **look)

    def to_dict(self) -> dict[str, Any]:
        """Return source, image (width and height), detector, and faces by :meth:`Prediction.to_dict`, JSON-ready.

        For a face crop, only :meth:`Prediction.to_dict` is returned.
        """
        if self.detector is None:
            return self.predictions[0].to_dict()
        return {
            "source": self.source,
            "image": {"width": self.width, "height": self.height},
            "detector": self.detector,
            "faces": [prediction.to_dict() for prediction in self.predictions],
        }
