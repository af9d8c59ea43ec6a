"""Throughput and latency of the service with many clients, with one worker, on one core too, and with two.

    python benchmarks/serve.py [--turns 4] [--seconds 3]

The servers run throughout and take turns, so that a drift of the machine affects all alike. One process plays all
clients: it writes prepared bytes and reads answers. The servers lack the processor time that it takes. Crops are drawn
faces of 48 x 48 as PNG; the photo is scikit-image's astronaut.
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
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from skimage.data import astronaut

from mien.data.synthetic import synthetic_faces


@dataclass
class Load:
    """What the clients measured: seconds of each answer, statuses, seconds in all."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lasted: float = 0.0

    def words(self) -> str:
        p50, p95, p99 = np.percentile(self.seconds, [50, 95, 99]) * 1000
        return (
            f"{len(self.seconds) / self.lasted:7,.0f} requests/s  p50 {p50:6.1f} ms  p95 {p95:6.1f} ms  "
            f"p99 {p99:6.1f} ms  statuses {dict(self.statuses)}"
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
    part = b'--mien\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = part + image + b"\r\n--mien--\r\n"
    head = (
        f"POST /v1/predict?{query} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary=mien\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def client(port: int, request: bytes, load: Load, until: float) -> None:
    """One client: sends a request, waits for the answer, repeats."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        assert length is not None
        await reader.readexactly(int(length[1]))
        load.seconds.append(time.perf_counter() - began)
        load.statuses[int(head[9:12])] += 1
    writer.close()


def turn(port: int, request: bytes, clients: int, seconds: float, load: Load) -> None:
    """Run this many clients at a time for some seconds."""
    began = time.perf_counter()

    async def all_clients() -> None:
        await asyncio.gather(*(client(port, request, load, began + seconds) for _ in range(clients)))

    asyncio.run(all_clients())
    load.lasted += time.perf_counter() - began


def crop_png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(synthetic_faces(7, seed=1).images[0])).save(stream, "PNG")
    return stream.getvalue()


def photo_jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(astronaut()).save(stream, "JPEG")
    return stream.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0)
    wanted = parser.parse_args()
    crop, photo = request_bytes(crop_png(), "crops=true"), request_bytes(photo_jpeg(), "")
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(server("--model", "default-int8", "--workers", workers, cores=cores))
            for name, workers, cores in (("1", "1", 0), ("1 on one core", "1", 1), ("2", "2", 0))
        }
        for what, request, clients in (("crops", crop, 32), ("photos", photo, 2), ("photos", photo, 32)):
            loads = {name: Load() for name in ports}
            for port in ports.values():
                turn(port, request, clients, 1.0, Load())
            for _ in range(wanted.turns):
                for name, port in ports.items():
                    turn(port, request, clients, wanted.seconds, loads[name])
            for name, load in loads.items():
                print(f"{what:7} {clients:3} clients  --workers {name:13}: {load.words()}", flush=True)


if __name__ == "__main__":
    main()
