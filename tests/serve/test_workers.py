"""Several processes on one port, as users start them: ``mien serve --workers 2``."""

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from mien.errors import ServeError
from mien.serve.workers import run_workers
from support import raises

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers need POSIX signals")
ANSWERED = 'mien_requests_total{route="/v1/predict",status="200"}'


def wait_for(what, seconds=60):
    """Its first result that is true."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


def workers(folder):
    """Process ids of the workers that live: each has a file of gauges."""
    return {int(re.search(r"(\d+)\.db$", str(file))[1]) for file in folder.glob("*/gauge_livesum_*.db")}


def answered_by(folder):
    """Predictions by process id, read from each worker's own file by prometheus_client."""
    counts = {}
    for file in folder.glob("*/counter_*.db"):
        families = MultiProcessCollector.merge([str(file)])
        samples = (each for family in families for each in family.samples if each.name == "mien_requests_total")
        counts[int(file.stem.split("_")[1])] = sum(
            each.value for each in samples if each.labels == {"route": "/v1/predict", "status": "200"}
        )
    return counts


def is_alive(process):
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def test_workers_count_together_are_replaced_and_drain(start, tmp_path, face):
    """Oracle: the number of requests that this test sent, and each worker's own counters."""
    service = start("--workers", 2, "--drain-seconds", 3600, TMPDIR=str(tmp_path))
    first = wait_for(lambda: len(workers(tmp_path)) == 2 and workers(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        assert {each.status_code for each in pool.map(service.predict, [face] * 40)} == {200}
        counts, sent = answered_by(tmp_path), 40
        while min(counts.values()) == 0 and sent < 400:  # the system gives a connection to either
            assert service.predict(face).status_code == 200
            counts, sent = answered_by(tmp_path), sent + 1
        assert set(counts) == first
        assert min(counts.values()) > 0
        assert sum(counts.values()) == service.metric(ANSWERED) == sent
        assert service.metric("mien_requests_under_way") == 0

        killed = min(first)
        os.kill(killed, signal.SIGKILL)
        second = wait_for(lambda: len(workers(tmp_path) - {killed}) == 2 and workers(tmp_path))
        assert killed not in second
        assert f"Worker {killed} ended (exit code -9)" in service.said.read_text()
        assert {each.status_code for each in pool.map(service.predict, [face] * 10)} == {200}
        assert service.metric(ANSWERED) == sent + 10

        assert ready(service, pool) == {200}
        service.process.terminate()
        wait_for(lambda: ready(service, pool) == {503})
        assert service.predict(face).status_code == 200
    service.process.terminate()  # a second one waits no longer
    assert service.process.wait(30) == 0
    assert not any(map(is_alive, second))
    assert list(tmp_path.iterdir()) == []
    assert len(service.said.read_text().splitlines()) == 2


def ready(service, pool):
    """What both workers say: connections go to either."""
    return set(pool.map(lambda _: service.ask("GET", "/readyz").status_code, range(12)))


def test_a_terminals_ctrl_c_finishes_requests_and_prints_one_line(start, tmp_path, face, make_form):
    """A terminal signals the whole process group. A worker that got two signals would break the request off."""
    service = start("--workers", 2, TMPDIR=str(tmp_path), before=os.setpgrp)
    wait_for(lambda: len(workers(tmp_path)) == 2)
    body, headers = make_form(('Content-Disposition: form-data; name="file"; filename="a"', face))
    head = f"POST /v1/predict?crops=true HTTP/1.1\r\nHost: [::1]\r\nContent-Type: {headers['content-type']}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:200])
        wait_for(lambda: service.metric("mien_held_bytes"))
        os.killpg(service.process.pid, signal.SIGINT)
        time.sleep(0.5)
        connection.sendall(body[200:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert service.process.wait(30) == 130
    assert service.said.read_text().splitlines()[1:] == ["mien: Stopped. [stopped]"]
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_workers_start_prints_one_line(start, tmp_path):
    service = start("--workers", 2, TMPDIR=str(tmp_path), before=os.setpgrp)
    os.killpg(service.process.pid, signal.SIGINT)
    assert service.process.wait(30) == 130
    assert service.said.read_text().splitlines()[1:] == ["mien: Stopped. [stopped]"]


def test_every_worker_starts_with_signals_blocked(tmp_path):
    """The first one too: Python's resource tracker, which starts with it, unblocks them in the first process."""
    script = tmp_path / "start.py"
    script.write_text("""
import signal
from mien.serve.workers import _start

def work():
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)

if __name__ == "__main__":
    for _ in range(2):
        _start(work).join()
""")
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", "True"]


def test_workers_stop_when_the_first_process_is_killed(start, tmp_path):
    service = start("--workers", 2, TMPDIR=str(tmp_path))
    processes = wait_for(lambda: len(workers(tmp_path)) == 2 and workers(tmp_path))
    service.process.kill()
    service.process.wait()
    wait_for(lambda: not any(map(is_alive, processes)))


def test_without_posix_it_is_one_line(monkeypatch):
    monkeypatch.setattr("mien.serve.workers.os", SimpleNamespace(name="nt"))
    with raises(ServeError, "workers-unsupported"):
        run_workers(None, None, None, workers=2, threads=1)


def test_a_worker_that_has_just_ended_takes_no_signal(monkeypatch):
    """The others are still stopped: a signal to a process that was waited for is an error of the system."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    reader, writer = multiprocessing.Pipe(duplex=False)
    writer.close()

    def start(work):
        os.kill(os.getpid(), signal.SIGTERM)
        return SimpleNamespace(pid=ended.pid, sentinel=reader, exitcode=0, is_alive=lambda: False)

    monkeypatch.setattr("mien.serve.workers._start", start)
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        run_workers(None, None, None, workers=1, threads=1)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
