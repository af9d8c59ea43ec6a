"""The one path from an RGB image to predictions: detect, crop, classify.

    rgb ──detect──► faces ──crop──► face crops ──classify──► probabilities ──prediction──► [Prediction, ...]

A face in a photograph is classified as it is and mirrored, and the two are averaged: what that costs is little beside
detecting it, and more answers are right. A face crop is classified once, as ``mien evaluate`` measures it.

Command line, Python, service and video all take it. Video skips ``detect`` for boxes that it tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mien.base.heads.votes import VotesHead
from mien.base.labels import NO_EXPRESSION, NOT_A_FACE_CLASS, UNSURE, parse_scheme
from mien.faces.crop import cut_out
from mien.faces.face import Box, Detector, Face
from mien.faces.find import find_detector
from mien.inference.onnx_classifier import OnnxClassifier
from mien.inference.prediction import Prediction, prediction_fields


class FaceReader:
    """Reads the faces of RGB images. It holds settings and no state: safe to call from several threads.

    Args:
        classifier: the model; a :class:`mien.Predictor` is one.
        detector: detects the faces, or its name; :func:`mien.faces.find_detector` finds it at the first detection.
        classes: a label scheme that merges the model's classes, such as ``"binary"`` or
            ``"good=happy+surprise,bad=sad"``. None keeps the model's classes.

    Attributes:
        classifier: as given.
        classes: class names of the predictions, after merging.
        given_classes: the label scheme as given.
        perceived: whether predictions are what people would say: by an output taught by votes, without merged classes.

    Raises:
        DataError: a scheme that does not suit the model.
    """

    def __init__(
        self,
        classifier: OnnxClassifier,
        detector: Detector | str | None = None,
        *,
        classes: str | None = None,
    ) -> None:
        self.classifier: OnnxClassifier = classifier
        self.given_classes: str | None = classes
        self._given_detector = detector
        self._scheme = parse_scheme("all" if classes is None else classes)
        self.classes: tuple[str, ...] = classifier.classes if self._scheme is None else self._scheme.classes
        if self._scheme is not None:
            self._scheme.mapping(classifier.classes, "the model")
        self.perceived: bool = classifier.output.perceived and self._scheme is None

    @property
    def fields(self) -> tuple[str, ...]:
        """As :attr:`Prediction.fields`, of every prediction."""
        return prediction_fields(self.classifier.output.name, self.perceived)

    @property
    def answers(self) -> tuple[str, ...]:
        """Every :attr:`Prediction.answer` that there can be."""
        if not self.perceived:
            return self.classes
        expressions = (name for name in self.classes if name not in NO_EXPRESSION)
        return (*expressions, UNSURE, *((NOT_A_FACE_CLASS,) if NOT_A_FACE_CLASS in self.classes else ()))

    @cached_property
    def detector(self) -> Detector:
        """The detector in use. Raises :class:`mien.base.errors.ModelError` where it cannot be loaded."""
        return find_detector(self._given_detector)

    def read(
        self, rgb: npt.NDArray[np.uint8], faces: Sequence[Face] | None = None, *, source: str = "image"
    ) -> list[Prediction]:
        """Predict the expression of each face in an image.

        Args:
            rgb: the upright image, uint8 (H, W, 3), as :func:`mien.base.preprocess.upright_rgb` makes it.
            faces: faces that are known already; detected by default.
            source: name of the image, for :attr:`Prediction.source`.

        Returns:
            A prediction for each face, the largest face first, with the part of its box that is inside the image; an
            image without a face gives an empty list.

        Raises:
            ModelError: the face detector cannot be used; a user's own gives what is no face.
        """
        faces = self.detect(rgb) if faces is None else faces
        crops = self.crop(rgb, faces)
        height, width = rgb.shape[:2]
        inside = [face.clipped(width, height) for face in faces]
        return [
            self.prediction(source, row, crop, box=face.box, detection_score=face.score, landmarks=face.landmarks)
            for row, crop, face in zip(self.classify_found(crops), crops, inside, strict=True)
        ]

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect the faces in an upright image uint8 (H, W, 3), the largest first; boxes may extend beyond it."""
        return self.detector.detect(rgb)

    def crop(self, rgb: npt.NDArray[np.uint8], faces: Sequence[Face]) -> npt.NDArray[np.uint8]:
        """Cut face crops out of an image, as the detector's boxes and landmarks need it; out of a dark one brightened.

        uint8 (H, W, 3) and N faces -> crops of the model's size, uint8 (N, size_px, size_px[, 3]).
        """
        return cut_out(rgb, faces, self.detector.margin, *self.classifier.manifest.input.stored_as)

    def classify(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Probabilities of :attr:`classes`: uint8 (N, size_px, size_px[, 3]) -> float64 (N, C), each row sums to 1."""
        return self.merge(self.classifier.probabilities(crops))

    def classify_found(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """As :meth:`classify`, of faces out of a photograph: the mean over each crop and its mirror image."""
        rows = self.classifier.probabilities(np.concatenate([crops, crops[:, :, ::-1]]))
        return self.merge((rows[: len(crops)] + rows[len(crops) :]) / 2)

    def merge(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Merge the model's probabilities (N, C) into those of :attr:`classes` (N, G), by the label scheme if any."""
        if self._scheme is None:
            return probabilities
        return self._scheme.merge_probabilities(probabilities, self.classifier.classes)

    def prediction(
        self,
        source: str,
        row: npt.NDArray[np.float64],
        crop: npt.NDArray[np.uint8] | None,
        *,
        box: Box | None = None,
        detection_score: float | None = None,
        landmarks: dict[str, tuple[float, float]] | None = None,
    ) -> Prediction:
        """One prediction of merged probabilities float64 (G,)."""
        head = self.classifier.output
        valence, arousal = None, None
        if isinstance(head, VotesHead) and self.perceived:
            valence, arousal = head.affect(row[np.newaxis])[0].tolist()
        return Prediction(
            source,
            self.classes,
            row,
            box=box or Box(0, 0, *[self.classifier.manifest.input.size_px] * 2),
            crop=crop,
            detection_score=detection_score,
            landmarks=landmarks or {},
            output=head.name,
            perceived=self.perceived,
            unsure_below=head.unsure_below,
            margin=head.margin,
            derived_valence=valence,
            derived_arousal=arousal,
        )
