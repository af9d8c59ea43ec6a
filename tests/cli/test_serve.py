"""``mien serve`` as a command: what it refuses before it starts. What it answers is in tests/serve."""

import socket
import subprocess
import sys

import pytest

BLOCKED = """
import sys

class Unimportable:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "fastapi":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Unimportable())
sys.argv = ["mien", "serve"]
import mien.__main__
"""


def one_line(answer):
    assert answer.code == 2
    assert answer.out == ""
    (line,) = answer.err.splitlines()
    return line


def test_a_port_in_use_is_one_line(mien):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = one_line(mien("serve", "--port", taken.getsockname()[1]))
    assert "in use" in line
    assert "--port" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "nothing.onnx"), "no model at nothing.onnx"),
        (("--token-file", "nothing"), "nothing: the token cannot be read"),
        (("--host", "192.0.2.1"), "192.0.2.1"),
        (("--port", "70000"), "65535"),
        (("--threads", "0"), "threads"),
        (("--body-seconds", "inf"), "3600"),
        (("--body-seconds", "nan"), "--body-seconds"),
        (("--work-seconds", "1e999"), "3600"),
    ],
)
def test_what_cannot_start_is_one_line(mien, arguments, said):
    assert said in one_line(mien("serve", *arguments))


def test_without_the_extra_it_names_it():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "mien: The service needs the package fastapi, which is not installed. "
        "Install it with: pip install 'mien[serve]'"
    ]


@pytest.mark.parametrize(("arguments", "warned"), [((), False), (("--host", "0.0.0.0"), True)])
def test_it_warns_where_everybody_may_ask(mien, monkeypatch, arguments, warned):
    started = []
    monkeypatch.setattr("mien.serve.server.run", lambda app, listener, limits: started.append(listener.close()))
    monkeypatch.delenv("MIEN_TOKEN", raising=False)
    answer = mien("serve", "--port", 0, *arguments)
    assert (answer.code, len(started)) == (0, 1)
    assert ("warning: any machine" in answer.err) == warned
    monkeypatch.setenv("MIEN_TOKEN", "abc")
    assert "warning" not in mien("serve", "--port", 0, *arguments).err
