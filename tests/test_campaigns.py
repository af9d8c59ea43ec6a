"""Some seconds of each campaign of docs/security.md, from one seed; `make fuzz` and `make torture` take new ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the campaigns fork")
FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("name", ["fuzz", "torture"])
def test_a_campaign_finds_nothing(name):
    command = [sys.executable, FOLDER / f"{name}.py", "--seconds", "20", "--seed", "20261123"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert re.match(r"seed \d+: [\d,]+ (inputs|broken off): ", ended.stdout)


def test_the_lines_of_any_process_are_noted_for_the_test_that_runs(tmp_path):
    """`make mutants` chooses tests by them. Oracle: the lines of the function; the others run at import."""
    script = tmp_path / "script.py"
    script.write_text("class A:\n    x = 1\n\ndef f():\n    if A.x:\n        return 1\n    return 2\n\nf()\n")
    (tmp_path / "files").write_text(str(script))
    (tmp_path / "running").write_bytes((7).to_bytes(4, "little"))
    environment = {**os.environ, "MIEN_LINES": str(tmp_path), "PYTHONPATH": str(FOLDER / "traced")}
    subprocess.run([sys.executable, script], env=environment, check=True)
    (noted,) = tmp_path.glob("*.lines")
    assert noted.read_text().splitlines() == [f"7 {line} {script}" for line in (4, 5, 6)]
