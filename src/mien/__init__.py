"""mien: train, evaluate, export and use facial-expression classifiers.

    import mien
    for prediction in mien.load().predict("photo.jpg"):
        print(prediction.box, prediction.answer, prediction.confidence)

A classifier predicts an expression from an image. It does not know what a person feels.
"""

import os
import random
import re
from importlib import import_module

from mien.version import __version__ as __version__

# torch reads this when loaded. Spinning threads slow down training 3 to 7 times when other programs run.
if not {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Names load on first use, so that `import mien` takes under 0.1 s and needs only the core install. The stub says where
# each is from, to type checkers and here, as with lazy_loader (Scientific Python's SPEC 1).
_STUB = __spec__.loader.get_data(f"{__file__.rpartition('.')[0]}.pyi").decode()  # type: ignore[union-attr]
_HOMES = {name: module for module, name in re.findall(r"^from (\S+) import (\w+)", _STUB, re.M)}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name == "faces":
        return import_module("mien.faces")
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    drawn = random.getstate()
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from mien.base.errors import needs_extra  # noqa: PLC0415 - the core loads nothing at first

        with needs_extra("search" if name == "SweepResult" else "train", f"mien.{name}"):
            raise error
    finally:
        random.setstate(drawn)  # rich draws a number while it is imported


def __dir__() -> list[str]:
    return list(__all__)
