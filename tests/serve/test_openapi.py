"""schemathesis asks the service whatever its document allows and forbids."""

import subprocess
import sys
from pathlib import Path

CONFIGURATION = """
[checks.positive_data_acceptance]
# No schema can say that a file is an image, or that a threshold needs a scheme of two classes.
expected-statuses = ["2xx", "413", "415", "422"]
"""


def test_schemathesis_finds_nothing(guarded, token, tmp_path):
    """With a token, so that it also tries without. As a program: its own generators, checks and HTTP client."""
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    program = Path(sys.executable).parent / "schemathesis"
    command = [program, "run", f"{guarded.url}/openapi.json", "-H", f"Authorization: Bearer {token}"]
    bounds = ["--max-examples", "5", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color"]
    done = subprocess.run([*command, *bounds], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "6 selected / 6 total" in done.stdout
    assert "Traceback" not in guarded.said.read_text()
