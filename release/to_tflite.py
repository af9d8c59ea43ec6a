"""Convert a shipped model to ``.tflite``, and print how far its answers are from those of the model file.

python release/to_tflite.py fast fast.tflite

It needs an environment of its own: ``pip install . litert-torch torch safetensors lightning``. docs/embed.md says more.
"""

from __future__ import annotations

import sys
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter

from mien.base.model_file import open_model
from mien.base.preprocess import to_input
from mien.base.run_folder import RunFolder
from mien.data.synthetic import draw_labels, render_faces
from mien.exporting.to_onnx import _sizes, _WithFeatures, fuse_for_inference
from mien.training import checkpoint

FACES = 500
SHIPPED = Path(__file__).parents[1] / "src" / "mien" / "shipped"


def main(name: str, out: str) -> None:
    """Convert, write, compare on drawn faces: one line an output."""
    session, manifest = open_model(SHIPPED / name / "model.onnx", threads=1)
    network, _ = checkpoint.load_best(RunFolder(SHIPPED / name))
    crop_px = manifest.input.crop_px
    module = _WithFeatures(fuse_for_inference(network, crop_px), _sizes(network, manifest.outputs)).eval()
    litert_torch.convert(module, (torch.zeros(1, 1, crop_px, crop_px),)).export(out)

    images = to_input(render_faces(draw_labels(FACES, seed=0), seed=0), manifest.input)
    interpreter = Interpreter(model_path=out)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    wanted = [each["index"] for each in interpreter.get_output_details()]
    rows = []
    for image in images:
        interpreter.set_tensor(given, image[None])
        interpreter.invoke()
        rows.append([interpreter.get_tensor(index)[0] for index in wanted])
    # As in the ONNX graph: the logits of the first output, the features, the logits of the others.
    found = [np.stack(each) for each in zip(*rows, strict=True)]
    del found[1]
    for head, ours in zip(manifest.all_outputs, found, strict=True):
        theirs = session.run([head.logits], {"images": images})[0]
        difference = np.abs(head.values(ours) - head.values(theirs)).max()
        agreement = (ours.argmax(1) == theirs.argmax(1)).mean()
        sys.stdout.write(
            f"{head.name}: {FACES} faces, largest difference {difference:.2g}, same class {agreement:.1%}\n"
        )


if __name__ == "__main__":
    main(*sys.argv[1:3])
