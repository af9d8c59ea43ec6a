"""Mutates files of every format that mien reads and reads them: ``python benchmarks/fuzz.py --inputs 100000``.

Each input is read or refused with a MienError within 30 seconds of processor time and 4 GiB. Anything else is a
finding: another exception escapes, or the process dies. Input ``n`` of seed ``s`` is always the same, so a finding can
be made again with ``--seed s --only n``, and a campaign goes on with ``--first n``. Exit code 1 if there is a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fuzz_corpus import Seed, corpus

from mien.errors import MienError

SECONDS, MEMORY = 30, 4 * 1024**3
WAIT_SECONDS = 600
"""For what waits and computes nothing: other work on the machine can make 30 seconds of work take minutes."""

BATCH = 100
TOKENS = [
    b"[" * 5000,
    b"9" * 5000,
    b"0x" + b"f" * 6000,
    b"nan",
    b"1e999",
    b"-1",
    b"\xff\xfe",
    b"\0",
    b'"',
    b"\r\n",
    b",,",
]


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """Change a file in one to eight places: bits, bytes, cuts, copies, tokens."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 9))):
        at = (
            int(random.integers(0, len(data) + 1))
            if random.random() < 0.7
            else int(random.integers(0, 200)) % (len(data) + 1)
        )
        size = int(random.integers(1, 64))
        kind = int(random.integers(0, 6))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(random.integers(0, 8))
        elif kind == 1:
            data[at : at + size] = random.bytes(min(size, len(data[at:])))
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size]
        elif kind == 4:
            data[at:at] = TOKENS[int(random.integers(0, len(TOKENS)))]
        elif random.random() < 0.2:
            del data[at:]
    return bytes(data)


def read_one(number: int, seed: int, seeds: list[Seed], folder: Path) -> tuple[str, str]:
    """Read one input. Returns its format, and ``read``, ``refused`` or what escaped."""
    random = np.random.default_rng([seed, number])
    name, content, read = seeds[int(random.integers(0, len(seeds)))]
    path = folder / name
    path.write_bytes(mutate(content, random))
    try:
        read(path)
    except MienError as error:
        return name, "refused" if "\n" not in str(error) else f"{number}: {name}: several lines"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return name, f"{number}: {name}: {type(error).__name__}: {str(error)[:100]}"
    return name, "read"


def run_batch(numbers: Sequence[int], seed: int, seeds: list[Seed], folder: Path, report: int) -> None:
    """In a child: read inputs, each within the limits, and report each as a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    for number in numbers:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(WAIT_SECONDS)
        os.write(report, json.dumps(read_one(number, seed, seeds, folder)).encode() + b"\n")


def fuzz(seconds: float, seed: int, numbers: Sequence[int]) -> tuple[Counter[str], list[str]]:
    """Read these inputs until the time is up. Returns counts by outcome and the findings, which are printed at once."""
    counts: Counter[str] = Counter()
    findings: list[str] = []
    began, at = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as name:
        os.environ["MIEN_CACHE"] = f"{name}/cache"
        seeds = corpus(Path(name))
        while time.monotonic() - began < seconds and at < len(numbers):
            batch = numbers[at : at + BATCH]
            outcomes = [outcome for _, outcome in _in_child(batch, seed, seeds, Path(name))]
            if len(outcomes) < len(batch):
                outcomes.append(f"{batch[len(outcomes)]}: the process died or took {SECONDS} s of work")
            at += len(outcomes)
            counts.update(each if each in {"read", "refused"} else "found" for each in outcomes)
            new = [each for each in outcomes if each not in {"read", "refused"}]
            sys.stderr.writelines(f"{each}\n" for each in new)
            findings += new
    return counts, findings


def _in_child(batch: Sequence[int], seed: int, seeds: list[Seed], folder: Path) -> list[tuple[str, str]]:
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        try:
            run_batch(batch, seed, seeds, folder, send)
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive) as stream:
        lines = [tuple(json.loads(line)) for line in stream]
    os.waitpid(child, 0)
    return lines


def main() -> None:
    """Fuzz and print counts, seed and findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after these")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", default=None)
    options = parser.parse_args()
    seed = int(np.random.SeedSequence().entropy or 0) % 2**32 if options.seed is None else options.seed
    numbers = options.only or range(options.first, options.inputs)
    counts, findings = fuzz(options.seconds, seed, numbers)
    print(f"seed {seed}: {sum(counts.values()):,} inputs: {dict(counts)}")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
