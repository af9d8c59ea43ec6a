"""Print the predictions of the page's model for the faces of an image in Python, as JSON, the largest face first.

python web/tests/detect_faces.py IMAGE
"""

import json
import sys

import mien

found = mien.load("fast-int8").predict(sys.argv[1])
sys.stdout.write(json.dumps([prediction.to_dict() for prediction in found]))
