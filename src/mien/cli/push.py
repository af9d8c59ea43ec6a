"""``mien push``: a model with its card into a repository of the Hugging Face hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mien.api.push import push as push_model
from mien.cli.options import JsonOption, QuietOption
from mien.cli.output import notice, show, show_json


def push(
    model: Annotated[
        str,
        typer.Argument(help="A run folder, a .onnx file, or a built-in model: default, fast, best.", metavar="MODEL"),
    ],
    repository: Annotated[
        str, typer.Argument(help="The repository. It is created if it does not exist.", metavar="OWNER/NAME")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put a model with its model card into a repository of the Hugging Face hub. Log in with `hf auth login` first.

    It sends model files, weights, recipe, history and metrics. It sends no data and no predictions.
    """
    sent = push_model(model, repository, private=private)
    if json:
        show_json(asdict(sent))
        return
    show(f"{sent.url}: {', '.join(sent.files)}")
    notice(f"Use it with: mien predict photo.jpg --model {sent.address}")
