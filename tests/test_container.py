"""The steps of the Dockerfile, run in a folder from a bare clone, where no container engine is.

Oracle: the service that they leave: it starts, has the page, and finds the face of a photo with mien's own detector.
What needs a system of its own is left out: apt-get, useradd, USER, and Node, which is this machine's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]


def instructions():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


class Stage:
    """A stage of the build as a folder, with a Python of its own."""

    def __init__(self, folder):
        self.root, self.folder = folder, folder
        folder.mkdir()
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        self.env = {**os.environ, "PATH": f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        self.env.pop("PYTHONPATH", None)

    def inside(self, path):
        return self.root / path[1:] if path.startswith("/") else self.folder / path

    def copy(self, words, clone, stages):
        *names, target = [word for word in words if not word.startswith("--")]
        source = next((word[len("--from=") :] for word in words if word.startswith("--from=")), None)
        if source == "node":
            return
        for name in names:
            found = clone / name if source is None else stages[source].inside(name)
            to = self.inside(target)
            if found.is_dir():
                shutil.copytree(found, to, dirs_exist_ok=True)
            else:
                shutil.copy(found, to / found.name)

    def run(self, command):
        kept = [part for part in command.split(" && ") if not re.match(r"(apt-get|ln|useradd) ", part)]
        line = " && ".join(kept).replace("/wheels", f"{self.root}/wheels")
        subprocess.run(["bash", "-euc", line or "true"], cwd=self.folder, env=self.env, check=True)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(shutil.which("npm") is None, reason="the page is built with Node")
def test_the_steps_of_the_container_leave_a_service_that_works(tmp_path, astronaut_jpeg):
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True)
    stages, words = {}, {}
    for name, rest in instructions():
        if name == "FROM" and "node:" not in rest:
            last = stages[rest.split()[-1]] = Stage(tmp_path / f"stage-{len(stages)}")
        elif name == "WORKDIR":
            last.folder = last.inside(rest)
            last.folder.mkdir()
        elif name == "COPY":
            last.copy(rest.split(), tmp_path / "clone", stages)
        elif name == "RUN":
            last.run(rest)
        elif name in {"ENTRYPOINT", "CMD"}:
            words[name] = json.loads(rest)
    command = [word for word in words["ENTRYPOINT"] if word not in {"--host", "0.0.0.0"}]
    command[command.index("8000")] = "0"
    env = {**last.env, "MIEN_CACHE": str(tmp_path / "cache")}
    command += words["CMD"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as started:
        try:
            address = re.search(r"http://\S+?:\d+", started.stderr.readline())[0]
            with httpx.Client(base_url=address, timeout=600, trust_env=False) as client:
                assert "<script" in client.get("/").text
                headers = {"content-type": "image/jpeg"}
                answer = client.post("/v1/predict", content=astronaut_jpeg, headers=headers).json()
            assert answer["detector"] == "TinyFace + MTCNN"
            assert [face["answer"] for face in answer["faces"]] == ["happy"]
        finally:
            started.terminate()


@pytest.fixture
def astronaut_jpeg(astronaut, tmp_path):
    from PIL import Image

    Image.fromarray(astronaut).save(tmp_path / "a.jpg")
    return (tmp_path / "a.jpg").read_bytes()
