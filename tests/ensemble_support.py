"""What tests of ensembles import: other models made of one, and the mean asked by onnxruntime and NumPy alone."""

import numpy as np
import onnx
import onnxruntime
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from mien.base.model_file import attach_manifest, read_manifest
from mien.base.preprocess import to_input


def altered(model, file, *, scale=1.0, shift=0, head="head", keep=None, **changes):
    """Another model: the weights of its heads scaled, its classes moved on by ``shift``, or the first ones kept."""
    graph = onnx.load_model_from_string(model.read_bytes())
    manifest = read_manifest(model)
    for tensor in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if head in tensor.name:
            moved = np.roll(values * scale, shift, axis=0)[:keep]
            tensor.CopyFrom(onnx.numpy_helper.from_array(moved, tensor.name))
    if keep is not None:
        next(each for each in graph.graph.output if each.name == "logits").type.tensor_type.shape.dim[
            1
        ].dim_value = keep
        changes["classes"] = manifest.classes[:keep]
    outputs = {
        name: each.model_copy(update={"classes": tuple(np.roll(each.classes, shift).tolist())})
        for name, each in manifest.outputs.items()
    }
    update = {"classes": tuple(np.roll(manifest.classes, shift).tolist()), "outputs": outputs, **changes}
    file.write_bytes(attach_manifest(graph.SerializeToString(), manifest.model_copy(update=update)))
    return file


def logits(file, images, name):
    """One output of a file, by onnxruntime alone."""
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run([name], {"images": to_input(np.asarray(images), read_manifest(file).input)})[0].astype(float)


def mean(files, images, output, classes):
    """Mean probabilities of an output at temperature 1, with the columns of ``classes``."""
    found = []
    for file in files:
        own = next(each for each in read_manifest(file).all_outputs if each.name == output)
        shares = softmax(logits(file, images, own.logits), axis=1)
        found.append(shares[:, [own.classes.index(name) for name in classes]])
    return np.mean(found, axis=0)


def best_temperature(labels, probabilities):
    """Of the least log loss, by scipy."""
    rows, logs = np.arange(len(labels)), np.log(probabilities)

    def loss(power):
        return -np.log(softmax(logs / np.exp(power), axis=1)[rows, labels]).mean()

    return np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}).x)
