"""Commands that tests start use the graphs that are exported already, as the tests themselves: remembered_export.py."""

import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

EXPORTER = "mien.exporting.to_onnx"


class _Finder(MetaPathFinder):
    """Waits until the exporter is imported, so that a command without one does not import torch."""

    def find_spec(self, name, path=None, target=None):
        if name != EXPORTER:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _then_remember(spec.loader)
        return spec


def _then_remember(loader: Loader):
    execute = loader.exec_module

    def execute_and_remember(module):
        execute(module)
        import torch

        sys.path.append(str(Path(__file__).parents[1]))
        from remembered_export import remembering

        sys.path.pop()
        torch.onnx.export = remembering(torch.onnx.export, Path(os.environ["MIEN_TESTS_EXPORTS"]))

    return execute_and_remember


if "MIEN_TESTS_EXPORTS" in os.environ:
    sys.meta_path.insert(0, _Finder())
