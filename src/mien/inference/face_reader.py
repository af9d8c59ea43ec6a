"""The path from an RGB image to predictions: detect, crop, classify.

    rgb ──detect──► faces ──crop──► face crops ──classify──► probabilities ──prediction──► [Prediction, ...]

A face in a photograph is classified together with its mirror image, and the results are averaged, if training saw
mirrored faces too. The second view takes little time and improves accuracy. A face crop is classified once, as in
``mien evaluate``.

Command line, Python, service and video all use this path. Video skips ``detect`` for tracked boxes.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mien.base.arrays import Floats, Pixels
from mien.base.labels import NO_EXPRESSION, NOT_A_FACE_CLASS, UNSURE, parse_scheme
from mien.faces.face import SHARP, Box, Detector, Face, cut_out, sharpness
from mien.faces.find import find_detector
from mien.inference.onnx_classifier import OnnxClassifier
from mien.inference.prediction import Prediction, prediction_fields


class FaceReader:
    """Detects and classifies the faces of RGB images. An object has settings but no state, so it is thread-safe.

    Args:
        classifier: classifier, such as a :class:`mien.Predictor`.
        detector: face detector; :func:`mien.faces.find_detector` loads mien's at the first detection.
        classes: label scheme that merges the model's classes, such as ``"binary"`` or
            ``"good=happy+surprise,bad=sad"``. None keeps the model's classes.

    Attributes:
        classifier: the given classifier.
        classes: class names of the predictions after merging.
        given_classes: the given label scheme.
        left_out: expressions that the scheme leaves out; their faces get one of the other answers.
        perceived: whether probabilities are shares of people: trained on votes, and no classes merged.

    Raises:
        DataError: the label scheme does not match the model.
    """

    def __init__(
        self, classifier: OnnxClassifier, detector: Detector | None = None, *, classes: str | None = None
    ) -> None:
        self.classifier: OnnxClassifier = classifier
        self.given_classes: str | None = classes
        self._given_detector = detector
        self._scheme = None if classes is None else parse_scheme(classes)
        self.classes: tuple[str, ...] = classifier.classes if self._scheme is None else self._scheme.classes
        mapping = () if self._scheme is None else self._scheme.mapping(classifier.classes, "the model")
        lost = {name for name, new in zip(classifier.classes, mapping, strict=False) if new < 0}
        self.left_out: tuple[str, ...] = tuple(sorted(lost.difference(NO_EXPRESSION)))
        self.perceived: bool = classifier.output.perceived and self._scheme is None

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the values in :attr:`Prediction.fields`, the same for all predictions."""
        return prediction_fields(self.classifier.output.name, self.perceived, self.further)

    @property
    def further(self) -> tuple[str, ...]:
        """Names of the values in :attr:`Prediction.further`: learned ratings, or else values derived from votes."""
        names = [name for head in self.classifier.further for name in head.classes]
        return tuple(names) or (self.classifier.output.derives if self._scheme is None else ())

    @property
    def answers(self) -> tuple[str, ...]:
        """All possible values of :attr:`Prediction.answer`."""
        if not self.perceived:
            return self.classes
        expressions = (name for name in self.classes if name not in NO_EXPRESSION)
        return (*expressions, UNSURE, *((NOT_A_FACE_CLASS,) if NOT_A_FACE_CLASS in self.classes else ()))

    @cached_property
    def detector(self) -> Detector:
        """The face detector. Raises :class:`mien.base.errors.ModelError` if it cannot be loaded."""
        return find_detector(self._given_detector)

    def read(self, rgb: Pixels, faces: Sequence[Face] | None = None, *, source: str = "image") -> list[Prediction]:
        """Predict the expression of each face in an upright image, uint8 (H, W, 3), the largest first, boxes clipped to
        it.

        ``faces`` are known ones; by default they are detected. ``source`` is the name of the image. Raises ModelError:
        the face detector cannot be used, or a user's detector returns invalid faces.
        """
        faces = self.detect(rgb) if faces is None else faces
        crops = self.crop(rgb, faces)
        height, width = rgb.shape[:2]
        return [
            self.prediction(source, row, crop, face.clipped(width, height))
            for row, crop, face in zip(self.classify_found(crops), crops, faces, strict=True)
        ]

    def detect(self, rgb: Pixels) -> list[Face]:
        """Detect the faces in an upright image, uint8 (H, W, 3), the largest first; boxes may extend beyond it."""
        return self.detector.detect(rgb)

    def crop(self, rgb: Pixels, faces: Sequence[Face]) -> Pixels:
        """Cut out N faces, brightened if the image, uint8 (H, W, 3), is dark: uint8 (N, size_px, size_px[, 3])."""
        return cut_out(rgb, faces, self.detector.margin, *self.classifier.manifest.input.size_and_channels)

    def classify(self, crops: Pixels) -> Floats:
        """Compute probabilities of :attr:`classes`, then values of :attr:`further`: crops -> float64 (N, C + E)."""
        return self.merge(self.classifier.rows(crops))

    def classify_found(self, crops: Pixels) -> Floats:
        """Compute :meth:`classify` of crops from a photograph; with mirror images, if training saw such."""
        if not self.classifier.mirrored:
            return self.classify(crops)
        rows = self.classifier.rows(np.concatenate([crops, crops[:, :, ::-1]]))
        return self.merge((rows[: len(crops)] + rows[len(crops) :]) / 2)

    def merge(self, rows: Floats) -> Floats:
        """Merge the model's classes into :attr:`classes` by the label scheme, if there is one, and derive values."""
        count = len(self.classifier.classes)
        probabilities, further = rows[:, :count], rows[:, count:]
        if self.further and not further.shape[1]:
            further = self.classifier.output.derived(probabilities)
        if self._scheme is not None:
            probabilities = self._scheme.merge_probabilities(probabilities, self.classifier.classes)
        return np.concatenate([probabilities, further], axis=1)

    def prediction(self, source: str, row: Floats, crop: Pixels | None, face: Face | None = None) -> Prediction:
        """Build a prediction from a row of :meth:`classify`, float64 (C + E,); without ``face`` of a whole crop."""
        head, count = self.classifier.output, len(self.classes)
        return Prediction(
            source,
            self.classes,
            row[:count],
            box=Box(0, 0, *[self.classifier.manifest.input.size_px] * 2) if face is None else face.box,
            crop=crop,
            detection_score=None if face is None else face.score,
            landmarks={} if face is None else face.landmarks,
            output=head.name,
            perceived=self.perceived,
            unsure_below=head.unsure_below,
            margin=head.margin,
            further=dict(zip(self.further, row[count:].tolist(), strict=True)),
            blurred=face is not None and crop is not None and sharpness(crop) < SHARP,
        )
