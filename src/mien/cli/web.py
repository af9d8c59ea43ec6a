"""``mien web``: build the browser page as static files."""

from pathlib import Path

from mien.cli.commands import Subcommands
from mien.cli.output import notice
from mien.inference.find_model import find_model
from mien.serve.built_page import FAST_MODEL, PAGE_MODEL, copy_page

app = Subcommands("Build the browser page.")


@app.command("build", short_help="Copy the browser page and models to a folder.")
def build(
    folder: Path,
    *,
    model: list[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Copy the browser page and models to a folder that any web host can serve. The page opens with the first model.

    Options:
        folder (DIR): The folder. It is created if it does not exist; its other files are kept.
        model (MODEL): A run folder, a .onnx file, or a built-in model: default, fast, tiny, best, or one of them with
            -int8. Repeat to offer several. Default: default, and fast for slow devices.
    """
    names = model or [PAGE_MODEL, FAST_MODEL]
    files = copy_page(folder, [find_model(name) for name in names], overwrite=overwrite)
    size = sum(file.stat().st_size for file in files)
    notice(f"{folder}: {len(files)} files, {size / 1e6:.1f} MB, with {', '.join(names)}")
