"""Throughput and latency of the service with many clients, with one worker, on one core too, and with two.

    python benchmarks/serve.py [--turns 4] [--seconds 3]                  crops and photos, default-int8
    python benchmarks/serve.py --memory 100000                            memory over this many requests

The servers run throughout and take turns, so that a drift of the machine affects all alike. One process plays all
clients: it writes prepared bytes and reads answers. Its processor time is printed, because the servers lack it. Crops
are drawn faces of 48 x 48 as PNG; the photo is scikit-image's astronaut.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from mien.data.synthetic import synthetic_faces

PROCESSOR = "process_cpu_seconds_total"


@dataclass
class Load:
    """What the clients measured: seconds of each answer, statuses, seconds in all, processor seconds of each side.

    Other work on the machine changes the throughput; it hardly changes the processor time of a request.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lasted: float = 0.0
    client_seconds: float = 0.0
    server_seconds: float = 0.0

    def add(self, other: Load) -> None:
        self.seconds += other.seconds
        self.statuses += other.statuses
        self.lasted += other.lasted
        self.client_seconds += other.client_seconds
        self.server_seconds += other.server_seconds

    def words(self) -> str:
        p50, p95, p99 = np.percentile(self.seconds, [50, 95, 99]) * 1000
        server, client = (1e3 * each / len(self.seconds) for each in (self.server_seconds, self.client_seconds))
        return (
            f"{len(self.seconds) / self.lasted:7,.0f} requests/s  p50 {p50:6.1f} ms  p95 {p95:6.1f} ms  "
            f"p99 {p99:6.1f} ms  processor: server {server:.2f} ms, "
            f"client {client:.2f} ms a request  statuses {dict(self.statuses)}"
        )


@contextmanager
def server(*options: str, cores: int = 0) -> Iterator[int]:
    """Run a server process, on so many cores where that is given; yields its port."""
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    if cores:
        os.sched_setaffinity(process.pid, list(os.sched_getaffinity(0))[:cores])
    assert process.stderr is not None
    try:
        found = re.search(r"http://[^:]+:(\d+)", process.stderr.readline())
        assert found is not None
        yield int(found[1])
    finally:
        process.terminate()
        process.wait()


def request_bytes(image: bytes, query: str) -> bytes:
    """One complete request."""
    boundary = b"----mien"
    body = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--%b--\r\n' % (
        boundary,
        image,
        boundary,
    )
    return (
        b"POST /v1/predict?%b HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=%b\r\n"
        b"Content-Length: %d\r\n\r\n" % (query.encode(), boundary, len(body))
    ) + body


async def client(port: int, request: bytes, load: Load, until: float, most: list[int]) -> None:
    """One client: sends a request, waits for the answer, repeats."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until and most[0] > 0:
        most[0] -= 1
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        length = re.search(rb"content-length: (\d+)", lowered)
        assert length is not None
        await reader.readexactly(int(length[1]))
        load.seconds.append(time.perf_counter() - began)
        load.statuses[int(head[9:12])] += 1
        if b"connection: close" in lowered:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def turn(port: int, request: bytes, clients: int, seconds: float = 1e9, most: int = 10**12) -> Load:
    """Run this many clients at a time, for some seconds or requests. Several workers tell no processor time: NaN."""
    load, left = Load(server_seconds=-metric(port, PROCESSOR)), [most]
    began, processor = time.perf_counter(), time.process_time()

    async def all_clients() -> None:
        await asyncio.gather(*(client(port, request, load, began + seconds, left) for _ in range(clients)))

    asyncio.run(all_clients())
    load.lasted, load.client_seconds = time.perf_counter() - began, time.process_time() - processor
    load.server_seconds += metric(port, PROCESSOR)
    return load


def metric(port: int, name: str) -> float:
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    found = re.search(rf"^{name} (\S+)", page, re.MULTILINE)
    return float(found[1]) if found else float("nan")


def crop_png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(synthetic_faces(7, seed=1).images[0])).save(stream, "PNG")
    return stream.getvalue()


def photo_jpeg() -> bytes:
    from skimage.data import astronaut

    stream = io.BytesIO()
    Image.fromarray(astronaut()).save(stream, "JPEG")
    return stream.getvalue()


def compare(turns: int, seconds: float) -> None:
    crop, photo = request_bytes(crop_png(), "crops=true"), request_bytes(photo_jpeg(), "")
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(server("--model", "default-int8", "--workers", workers, cores=cores))
            for name, workers, cores in (("1", "1", 0), ("1 on one core", "1", 1), ("2", "2", 0))
        }
        for what, request, clients in (
            ("crops", crop, 32),
            ("crops", crop, 1),
            ("photos", photo, 2),
            ("photos", photo, 32),
        ):
            loads = {name: Load() for name in ports}
            for port in ports.values():
                turn(port, request, clients, 1.0)
            for _ in range(turns):
                for name, port in ports.items():
                    loads[name].add(turn(port, request, clients, seconds))
            for name, load in loads.items():
                print(f"{what:7} {clients:3} clients  --workers {name:13}: {load.words()}", flush=True)


def memory(requests: int) -> None:
    crop = request_bytes(crop_png(), "crops=true")
    with server() as port:
        for done in range(0, requests, requests // 10):
            print(f"{done:9,} requests: {metric(port, 'process_resident_memory_bytes') / 1e6:.1f} MB", flush=True)
            load = turn(port, crop, 32, most=requests // 10)
            assert set(load.statuses) == {200}, load.statuses
        print(f"{requests:9,} requests: {metric(port, 'process_resident_memory_bytes') / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--memory", type=int, metavar="REQUESTS")
    wanted = parser.parse_args()
    if wanted.memory is None:
        compare(wanted.turns, wanted.seconds)
    else:
        memory(wanted.memory)
