"""README and the tutorials do what they say: their bash and python blocks run, and print the text that follows them.

Oracle: the page itself. A `text` block is shown output where it follows such a block; alone, it is only an example.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mien.data.clean import read_clean
from support import write_fer2013

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "docs/index.md",
    *(
        f"docs/tutorials/{page}.md"
        for page in ("own-folder", "python", "audit", "fine-tune", "fer2013-python", "many-images", "deploy")
    ),
]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Language, code and shown output of each block that runs."""
    found, runs = [(match[1], match[2], match.start(), match.end()) for match in _BLOCK.finditer(page)], []
    for index, (language, code, _, end) in enumerate(found):
        if language in {"bash", "python"}:
            later = found[index + 1] if index + 1 < len(found) else None
            is_output = later is not None and later[0] == "text" and not page[end : later[2]].strip()
            runs.append((language, code, later[1] if later is not None and is_output else ""))
    return runs


def tidy(text: str) -> str:
    """Without empty lines around, and without spaces that end a line."""
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def in_this_process(lines: list[str], mien) -> str:
    """What mien's commands print, stderr last. A process each would import torch each time."""
    answers = [mien(*shlex.split(line)[1:]) for line in lines]
    assert [answer.code for answer in answers] == [0] * len(lines), answers
    return "".join(answer.out + answer.err for answer in answers)


def in_shell(code: str) -> str:
    """What a shell prints, stdout and stderr together; the commands are those of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", code], env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def in_python(code: str, names: dict[str, object]) -> str:
    """What Python prints; ``names`` are those of the blocks before."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "tutorial", "exec"), names)
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch, mien, astronaut, voted_faces):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(astronaut).save("photo.jpg")
    if page == "docs/tutorials/fer2013-python.md":
        write_fer2013(tmp_path, voted_faces)
    names: dict[str, object] = {"__name__": "tutorial"}
    found = blocks((ROOT / page).read_text(encoding="utf-8"))
    assert found
    for language, code, shown in found:
        lines = code.splitlines()
        if language == "python":
            printed = in_python(code, names)
        elif all(line.startswith("mien ") for line in lines):
            printed = in_this_process(lines, mien)
        else:
            printed = in_shell(code)
        if shown:
            assert tidy(printed) == tidy(shown)
    if page == "docs/tutorials/audit.md":
        (change,) = read_clean(tmp_path / "audit" / "clean.toml").changes
        assert (change.kind, change.source, change.to) == ("leak", "train/happy/000000.png", None)
