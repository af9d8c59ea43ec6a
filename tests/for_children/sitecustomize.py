"""Commands that tests start use the graphs that are exported already, and draw no charts, as the tests themselves."""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path


def remember(exporter):
    import torch

    from remembered_export import remembering

    torch.onnx.export = remembering(torch.onnx.export, Path(os.environ["MIEN_TESTS_EXPORTS"]))


def undraw(figure):
    from undrawn import undrawn

    figure.Figure.savefig = undrawn(figure.Figure.savefig, os.environ.get("MIEN_TESTS_DRAWN", ""))


AFTER = {"mien.exporting.to_onnx": remember, "matplotlib.figure": undraw}


class _Finder(MetaPathFinder):
    """Waits until these modules are imported, so that a command without them does not import torch."""

    def find_spec(self, name, path=None, target=None):
        if name not in AFTER:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _then(AFTER[name], spec.loader.exec_module)
        return spec


def _then(change, execute):
    def execute_and_change(module):
        execute(module)
        sys.path.append(str(Path(__file__).parents[1]))
        change(module)
        sys.path.pop()

    return execute_and_change


if "MIEN_TESTS_EXPORTS" in os.environ:
    sys.meta_path.insert(0, _Finder())
