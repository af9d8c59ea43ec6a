"""``Figure.savefig`` for tests: charts are filled, but not laid out and drawn, which takes longer than most tests.

``conftest.py`` and, in the commands that tests start, ``for_children/sitecustomize.py`` put it in place.
"""

from functools import wraps


def undrawn(savefig, drawn=""):
    """``savefig`` that writes a blank chart, except in the form ``drawn``."""

    @wraps(savefig)
    def write(figure, stream, **options):
        if options["format"] == drawn:
            savefig(figure, stream, **options)
        else:
            stream.write(b"<svg></svg>" if options["format"] == "svg" else b"")

    return write
