"""Commands that tests start work as the tests themselves: graphs that are exported already, one thread.

See ``remembered_export.py`` and ``one_thread``.
"""

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path


class _Finder(MetaPathFinder):
    """Waits until a module is imported, so that a command without one does not import torch or onnxruntime."""

    def find_spec(self, name, path=None, target=None):
        if name not in AFTER_IMPORT:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _then(AFTER_IMPORT[name], spec.loader)
        return spec


def _then(act, loader: Loader):
    execute = loader.exec_module

    def execute_and_act(module):
        execute(module)
        act(module)

    return execute_and_act


def _remember(exporter):
    import torch

    sys.path.append(str(Path(__file__).parents[1]))
    from remembered_export import remembering

    sys.path.pop()
    torch.onnx.export = remembering(torch.onnx.export, Path(os.environ["MIEN_TESTS_EXPORTS"]))


def one_thread(onnxruntime):
    """Let sessions have one thread unless told otherwise: more of them wait by spinning, and take twice the time."""
    options = onnxruntime.SessionOptions

    class OneThread(options):
        def __init__(self):
            super().__init__()
            self.intra_op_num_threads = 1

    onnxruntime.SessionOptions = OneThread


AFTER_IMPORT = {"mien.exporting.to_onnx": _remember, "onnxruntime": one_thread}


if "MIEN_TESTS_EXPORTS" in os.environ:
    sys.meta_path.insert(0, _Finder())
