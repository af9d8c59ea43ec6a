"""Print the faces that Python detects in an image, as JSON: a box and a score each, the largest first.

python web/tests/detect_faces.py IMAGE
"""

import json
import sys
from dataclasses import asdict

import numpy as np

from mien.base.images import open_image
from mien.faces.network import NetworkDetector

faces = NetworkDetector().detect(np.asarray(open_image(sys.argv[1]).convert("RGB")))
sys.stdout.write(json.dumps([{"box": asdict(face.box), "score": face.score} for face in faces]))
