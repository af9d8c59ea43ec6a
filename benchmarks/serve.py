"""How fast the service answers many clients at a time, with and without micro-batches, and what overload does to it.

    python benchmarks/serve.py [--turns 4] [--seconds 3]                  rates and times, photos, overload
    python benchmarks/serve.py --memory 100000                            memory over so many requests

Both servers run throughout and are asked in turns, so that the machine's own drift meets both alike. The clients are
one process that does nothing but write prepared bytes and read answers; what it takes of the processor is printed,
since it takes that from the servers. Crops are drawn faces of 48 x 48 as PNG; the photo is scikit-image's astronaut.
"""

from __future__ import annotations

import argparse
import asyncio
import io
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

SERVER = """
import sys
import mien.serve.reading as reading
from mien.serve.batching import MicroBatcher

class OneByOne(MicroBatcher):
    def put(self, item):
        self._answer([item])

if sys.argv[1] == "one by one":
    reading.MicroBatcher = OneByOne
sys.argv = ["mien", "serve", "--port", "0", *sys.argv[2:]]
import mien.__main__
"""

PROCESSOR = "process_cpu_seconds_total"


@dataclass
class Load:
    """What some clients saw: seconds of each answer, how many of each status, seconds in all, of each side's processor.

    The rates are of a machine that may be busy with other work; the processor's time for a request hardly is.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lasted: float = 0.0
    client_seconds: float = 0.0
    server_seconds: float = 0.0
    best_p99: float = float("inf")

    def add(self, other: Load) -> None:
        self.seconds += other.seconds
        self.statuses += other.statuses
        self.lasted += other.lasted
        self.client_seconds += other.client_seconds
        self.server_seconds += other.server_seconds
        self.best_p99 = min(self.best_p99, other.best_p99)

    def words(self) -> str:
        p50, p99 = np.percentile(self.seconds, [50, 99]) * 1000
        server, client = (1e3 * each / len(self.seconds) for each in (self.server_seconds, self.client_seconds))
        return (
            f"{len(self.seconds) / self.lasted:7,.0f} requests/s  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms "
            f"(best turn {1000 * self.best_p99:.1f})  processor: server {server:.2f} ms, client {client:.2f} ms a "
            f"request  statuses {dict(self.statuses)}"
        )


@contextmanager
def server(kind: str, *options: str) -> Iterator[tuple[int, int]]:
    """A server process of its own; yields its port and process id."""
    command = [sys.executable, "-c", SERVER, kind, *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = re.search(r"http://[^:]+:(\d+)", process.stderr.readline())
        assert found is not None
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        process.wait()


def request_bytes(picture: bytes, query: str) -> bytes:
    """One whole request."""
    boundary = b"----mien"
    body = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--%b--\r\n' % (
        boundary,
        picture,
        boundary,
    )
    return (
        b"POST /v1/predict?%b HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=%b\r\n"
        b"Content-Length: %d\r\n\r\n" % (query.encode(), boundary, len(body))
    ) + body


async def client(port: int, request: bytes, load: Load, until: float, most: list[int]) -> None:
    """One client: asks, waits for the answer, asks again."""
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
    """So many clients at a time, for so long or so many requests."""
    load, left = Load(server_seconds=-metric(port, PROCESSOR)), [most]
    began, processor = time.perf_counter(), time.process_time()

    async def all_clients() -> None:
        await asyncio.gather(*(client(port, request, load, began + seconds, left) for _ in range(clients)))

    asyncio.run(all_clients())
    load.lasted, load.client_seconds = time.perf_counter() - began, time.process_time() - processor
    load.server_seconds += metric(port, PROCESSOR)
    load.best_p99 = float(np.percentile(load.seconds, 99))
    return load


def metric(port: int, name: str) -> float:
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    found = re.search(rf"^{name} (\S+)", page, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


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
    kinds = ("micro-batches", "one by one")
    crop, photo = request_bytes(crop_png(), "crops=true"), request_bytes(photo_jpeg(), "")
    with ExitStack() as stack:
        ports = {kind: stack.enter_context(server(kind))[0] for kind in kinds}
        for what, request, clients in (("crops", crop, 32), ("crops", crop, 1), ("photos", photo, 8)):
            loads = {kind: Load() for kind in kinds}
            for port in ports.values():
                turn(port, request, clients, 0.5)
            for number in range(turns):
                for kind in kinds if number % 2 else reversed(kinds):
                    loads[kind].add(turn(ports[kind], request, clients, seconds))
            for kind in kinds:
                print(f"{what:7} {clients:3} clients  {kind:14} {loads[kind].words()}", flush=True)
        faces, runs = (metric(ports["micro-batches"], f"mien_batch_faces_{part}") for part in ("sum", "count"))
        print(f"faces in one run of the network, all of the above: {faces / runs:.2f}")
    with server("micro-batches", "--max-requests", "8") as (port, _):
        print(f"overload, crops, 64 clients, 8 at a time: {turn(port, crop, 64, seconds).words()}")
        print(f"overload, photos, 64 clients, 8 at a time: {turn(port, photo, 64, seconds).words()}")


def memory(requests: int) -> None:
    crop = request_bytes(crop_png(), "crops=true")
    with server("micro-batches") as (port, _):
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
