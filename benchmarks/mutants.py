"""Changes the code in small ways and counts the changes that tests see: ``python benchmarks/mutants.py --seed 0``.

A mutant is one file with one change: a comparison, a constant, an operator or a condition turned round, ``None``
returned, a statement left out. Messages of errors, annotations and asserts are not changed. Of each room a sample is
drawn by the seed (``mutant_places.py``). The tests that ran the changed lines, the quickest first and up to
``TESTS_SECONDS`` of processor time, run in a copy of the tree until one fails (``mutant_copy.py``). A mutant is killed
when a test fails or takes far too long. ``mutants.toml`` holds those that were looked at and change nothing that is
promised. Exit code 1 below ``GOAL``.

Each result is kept in ``build/mutants.jsonl`` at once; what is kept there is not run again. ``--again`` runs again what
survived and is not explained, after tests were added.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest
from mutant_copy import OPTIONS, Copy, Lines
from mutant_places import PACKAGE, ROOMS, ROOT, Mutant, sample

GOAL = 0.85
TESTS_SECONDS = 20.0


def measure(copy: Copy, room: str) -> Lines:
    """Run all tests of a room and note their lines. What they import is then imported here, once for all mutants."""
    patterns, tests = ROOMS[room]
    (copy.root / "lines").mkdir()
    files = [each for pattern in patterns for each in (copy.root / "src" / "mien").glob(pattern)]
    lines = Lines(files, copy.root / "lines")

    def work() -> int:
        lines.trace()
        pytest.main([*OPTIONS, *(f"tests/{each}" for each in tests)], plugins=[lines])
        sys.settrace(None)
        lines.collect()
        seen = {file: {line: sorted(tests) for line, tests in found.items()} for file, found in lines.seen.items()}
        facts = {"seconds": lines.seconds, "waits": lines.waits, "failed": sorted(lines.failed)}
        answer = {"seen": seen, "modules": [*sys.modules], **facts}
        (copy.root / "measured.json").write_text(json.dumps(answer))
        return 0

    copy.run([], 1e9, work)
    answer = json.loads((copy.root / "measured.json").read_text())
    lines.failed, lines.seconds, lines.waits = set(answer["failed"]), answer["seconds"], answer["waits"]
    for file, found in answer["seen"].items():
        lines.seen[file] = defaultdict(set, {int(line): set(tests) for line, tests in found.items()})
    for name in answer["modules"]:
        if name.partition(".")[0] not in {"mien", "tests", "support", "people", "conftest"}:
            with suppress(Exception, SystemExit):
                importlib.import_module(name)
    return lines


def choose_tests(mutant: Mutant, lines: Lines, copy: Copy) -> list[str]:
    """The tests that ran its lines; of lines that run at import, those that ran any line of the file.

    Tests in the file named after the module are taken too, since some run the code in another process.
    """
    seen = lines.seen[str(copy.package(mutant.file))]
    chosen = set[str]().union(*(seen[line] for line in range(mutant.lines[0], mutant.lines[1] + 1) if line in seen))
    chosen = chosen or set[str]().union(*seen.values())
    own = f"/test_{Path(mutant.file).stem}.py::"
    chosen |= {each for each in lines.seconds if own in each}
    # A test that was skipped has no time.
    chosen = ((chosen & lines.seconds.keys()) or set(lines.seconds)) - lines.failed
    tests, spent = [], 0.0
    for each in sorted(chosen, key=lambda each: (lines.seconds[each], each)):
        spent += lines.seconds[each]
        if tests and spent > TESTS_SECONDS:
            break
        tests.append(each)
    return tests


def try_mutants(room: str, wanted: Sequence[Mutant], kept: Path, done: dict[str, str]) -> None:
    """Run what is not done yet, and keep each outcome at once."""
    left = [each for each in wanted if each.key not in done]
    if not left:
        return
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(Path(name).resolve())
        lines = measure(copy, room)
        print(f"{room}: {len(lines.seconds)} tests, {len(lines.failed)} fail unchanged and are left out", flush=True)
        for mutant in left:
            tests = choose_tests(mutant, lines, copy)
            copy.write(mutant.file, mutant.source)
            began, limit = time.monotonic(), 60 + 3 * sum(lines.waits[each] for each in tests)
            outcome = copy.run(tests, limit)
            copy.write(mutant.file, (PACKAGE / mutant.file).read_text())
            done[mutant.key] = outcome
            facts = {key: value for key, value in asdict(mutant).items() if key != "source"}
            print("." if outcome != "passed" else "S", end="", flush=True)
            with kept.open("a") as stream:
                seconds, by = round(time.monotonic() - began, 1), copy.failed_test()
                row = {"key": mutant.key, "outcome": outcome, "by": by, "seconds": seconds, **facts}
                stream.write(json.dumps(row) + "\n")


def is_explained(mutant: Mutant, explained: list[dict[str, str]]) -> bool:
    """Whether it was looked at and changes nothing that is promised."""
    return any(
        (each["file"], each["function"], each["change"]) == (mutant.file, mutant.function, mutant.change)
        for each in explained
    )


def main() -> None:
    """Try mutants and print counts, seed and survivors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, default=120, help="mutants of each room")
    parser.add_argument("--room", choices=ROOMS, action="append")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    kept = ROOT / "build" / "mutants.jsonl"
    kept.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {row["key"]: row["outcome"] for row in rows}
    explained = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["mutant"]
    shares = []
    for room in options.room or ROOMS:
        total, wanted = sample(room, options.sample, options.seed)
        if options.again:
            again = {each.key for each in wanted if not is_explained(each, explained)}
            done = {key: outcome for key, outcome in done.items() if outcome != "passed" or key not in again}
        try_mutants(room, wanted, kept, done)
        survivors = [each for each in wanted if done[each.key] == "passed"]
        open_ones = [each for each in survivors if not is_explained(each, explained)]
        killed = len(wanted) - len(survivors)
        shares.append(1 - len(open_ones) / len(wanted))
        for each in open_ones:
            print(f"  {each.file}:{each.lines[0]} in {each.function}: {each.change}")
        print(
            f"seed {options.seed}: {room}: {len(wanted)} of {total} mutants: {killed} killed, "
            f"{len(survivors) - len(open_ones)} explained, {len(open_ones)} not: {shares[-1]:.0%} "
            f"{dict(Counter(done[each.key] for each in wanted))}",
            flush=True,
        )
    sys.exit(min(shares) < GOAL)


if __name__ == "__main__":
    main()
