"""``mien webcam``: the page of a service of its own, opened in the browser. The camera is in web/tests/browser."""

import subprocess
import sys
import urllib.request

from mien.serve import built_page

OPENED = """
import sys, webbrowser
from pathlib import Path
from mien.serve import built_page, pages

built_page.STATIC = pages.STATIC = Path(sys.argv.pop())
pages.add_pages.__defaults__ = (pages.STATIC,)
webbrowser.open = lambda page: print("asked for", page, flush=True) or False
import mien.__main__
"""


def test_the_browser_is_sent_to_the_page_which_reads_with_the_chosen_model(tmp_path, tiny_run):
    """Oracle: the model file itself, asked for as the page asks for it."""
    (tmp_path / "index.html").write_text("<p>the page</p>")
    (tmp_path / built_page.MODEL).write_bytes(b"what the page was built with")
    command = [sys.executable, "-c", OPENED, "webcam", "--model", str(tiny_run.path), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        asked = process.stdout.readline().removeprefix("asked for ").strip()
        assert asked.startswith("http://127.0.0.1:"), asked + process.stderr.read()
        assert asked.endswith("/?webcam=1")
        assert process.stdout.readline() == f"Open {asked} in a browser.\n"
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert answer.read() == b"<p>the page</p>"
        with urllib.request.urlopen(asked.replace("?webcam=1", "model.onnx"), timeout=60) as answer:
            assert answer.read() == tiny_run.model.read_bytes()
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_without_the_page_it_says_how_to_make_it(mien, tmp_path, monkeypatch):
    monkeypatch.setattr(built_page, "STATIC", tmp_path)
    answer = mien("webcam")
    assert answer.code == 2
    assert answer.out == ""
    assert "make web" in answer.err
    assert len(answer.err.splitlines()) == 1
