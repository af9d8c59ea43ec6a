"""Some seconds of each campaign of docs/security.md, from one seed; `make fuzz` and `make torture` take new ones."""

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
