"""Face detection: ``mien.faces.detect(image)``."""

from mien.faces.face import Box as Box
from mien.faces.face import Detector as Detector
from mien.faces.face import Face as Face
from mien.faces.face import Margin as Margin
from mien.faces.find import detect as detect
from mien.faces.find import find_detector as find_detector
