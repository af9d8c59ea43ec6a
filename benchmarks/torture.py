"""Breaks commands off at their file-system events: ``python benchmarks/torture.py --seconds 600``.

Each command first runs unharmed. Then something happens at one event inside its folder (a file opened for writing, a
rename, a removal, a link, a folder made, an fsync):

- ``kill``: the process is killed. ``threads``: the same, and the command runs again with another number of threads.
- ``full``, ``read-only``, ``damaged``: the call fails with this error. ``size``: no file may grow over a size.
- ``moved``, ``removed``: the folder that the command writes is renamed or removed while it goes on.

A command that fails ends in exit code 2 and one line without a traceback. Then it runs again as a user would
(``--resume``, ``--overwrite``; a moved folder is put back first) and must leave the very bytes of the unharmed run, and
no temporary file. With another number of threads the bytes may differ, and the command must say so. A training writes
nothing to the place that its folder was taken from. Exit code 1 if a command does otherwise. The commands get equal
shares of the time.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import importlib
import io
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torture_commands import Command, commands, make_inputs

from mien.cli.main import main as mien
from mien.exporting import to_onnx
from mien.pipeline import training_run
from mien.runs import storage as sweep_storage
from mien.runs import sweep as sweep_run

EVENTS = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate"}
FAILURES = {"full": errno.ENOSPC, "read-only": errno.EROFS, "damaged": errno.EIO}
SIZES = (0, 100, 1_000, 10_000, 40_000)
SAID_BYTES = 1024**2
BROKEN = 70
"""The exit code of a command that an exception ended."""
LOADED = (torch, to_onnx, training_run)
"""Imported before any fork, so that each broken command takes a second, not ten. So is what the first one loads."""


def break_off(out: Path, at: int, how: str, folder: str | None) -> None:
    """In this process: let event ``at`` in ``out`` end in ``how``, and count events in ``out.events``."""
    seen = 0

    def event(kind: str) -> None:
        nonlocal seen
        seen += 1
        if at < 0:
            (out.parent / "events").write_bytes(b"%d" % seen)
        if seen - 1 != at:
            return
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how in {"moved", "removed"}:
            if (out / str(folder)).exists():
                (out / str(folder)).rename(out.parent / "moved")
            return
        raise OSError(FAILURES[how], os.strerror(FAILURES[how]), kind)

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or name in EVENTS) and str(arguments[0]).startswith(str(out) + os.sep):
            event(str(arguments[0]))

    fsync = os.fsync

    def counted(descriptor: int) -> None:
        event(str(out))
        fsync(descriptor)

    os.fsync = counted
    sys.addaudithook(hook)


def run_command(
    words: Sequence[str], out: Path, at: int = -1, how: str = "", folder: str | None = None, threads: int = 1
) -> tuple[int, str, int]:
    """Run ``mien`` in a child. Returns exit code (negative for a signal), stderr, and how many events there were."""
    # A pipe, since no file may grow where sizes are limited; what the child says fits into its buffer.
    said, stream = os.pipe()
    fcntl.fcntl(said, fcntl.F_SETPIPE_SZ, SAID_BYTES)
    os.set_blocking(said, False)
    child = os.fork()
    if not child:
        code = BROKEN
        # Whatever happens, the child must not go on as the campaign, which would remove its folders.
        try:
            code = _command(words, out, at, how, folder, threads, stream)
        finally:
            os._exit(code)
    os.close(stream)
    status = os.waitpid(child, 0)[1]
    with os.fdopen(said, "rb", buffering=0) as pipe:
        # None where a process of the command's lives on.
        text = (pipe.readall() or b"").decode(errors="replace")
    events = out.parent / "events"
    seen = int(events.read_bytes()) if events.exists() else 0
    return os.waitstatus_to_exitcode(status), text, seen


def _command(words: Sequence[str], out: Path, at: int, how: str, folder: str | None, threads: int, stream: int) -> int:
    """In a child: the command itself. Returns its exit code."""
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w"), write_through=True) for number in (1, 2))
    code = BROKEN
    try:
        torch.set_num_threads(threads)
        sys.argv = ["mien", *words]
        if how == "size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (at, resource.RLIM_INFINITY))
        elif how:
            break_off(out, at, how, folder)
        mien()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:  # noqa: BLE001 - what escapes is what is looked for
        os.write(2, f"Traceback: {type(error).__name__}: {error}".encode())
    if at < 0:
        (out.parent / "modules").write_text("\n".join(list(sys.modules)))
    return code


class Campaign:
    """Trials of commands, their counts and what went wrong.

    Args:
        root: an empty folder.
        seed: of where each command is broken off.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.out = root, root / "out"
        self.counts, self.findings = Counter[str](), list[str]()
        self._random, self._events = np.random.default_rng(seed), dict[str, int]()
        make_inputs(root)
        # A worker of a sweep waits for this long before it takes over the trial of one that was killed.
        sweep_storage.HEARTBEAT_SECONDS = 1
        sweep_run.sweep.__kwdefaults__["stale_seconds"] = 2
        self.commands = commands(root)

    def words(self, command: Command, out: Path) -> list[str]:
        """Its words with the folders in them."""
        if "RUN" in command.words:
            self.unharmed(next(each for each in self.commands if each.name == "train"))
        folders = {"OUT": str(out), "RUN": str(self.root / "unharmed-train" / "run")}
        return [folders.get(word, word.replace("OUT/", f"{out}/")) for word in command.words]

    def unharmed(self, command: Command) -> Path:
        """The folder of its unharmed run, made at the first call."""
        folder = self.root / f"unharmed-{command.name}"
        if command.name not in self._events:
            folder.mkdir()
            code, said, self._events[command.name] = run_command(self.words(command, folder), folder, -1, "kill")
            if code:
                raise SystemExit(f"{command.name} unharmed ended with {code}: {said[-300:]}")
            for name in (self.root / "modules").read_text().split():
                with suppress(Exception, SystemExit):
                    importlib.import_module(name)
        return folder

    def trial(self, command: Command) -> None:
        """Break a command off and run it again."""
        unharmed, tried = (
            self.unharmed(command),
            sum(count for name, count in self.counts.items() if name.startswith(f"{command.name} ")),
        )
        how = command.ways[tried % len(command.ways)]
        events = max(self._events[command.name], 1)
        at = int(self._random.choice(SIZES)) if how == "size" else int(self._random.integers(0, events))
        self.counts[f"{command.name} {how}"] += 1
        wrong = self._break(command, unharmed, at, how)
        if wrong:
            self.findings.append(f"{command.name} {how} at {at} of {events}: {wrong}")
            sys.stderr.write(self.findings[-1] + "\n")

    def _break(self, command: Command, unharmed: Path, at: int, how: str) -> str | None:
        """Returns what is wrong, if anything is."""
        out, moved = self.out, self.root / "moved"
        for folder in (out, moved):
            shutil.rmtree(folder, ignore_errors=True)
        out.mkdir()
        words = self.words(command, out)
        code, said, _ = run_command(words, out, at, "kill" if how == "threads" else how, command.folder)
        killed = how in {"kill", "threads"}
        if killed and code not in {0, -signal.SIGKILL}:
            return f"ended with {code}: {said[-200:]}"
        if not killed and (code not in {0, 2} or "Traceback" in said or (code == 2 and said.count("mien: ") != 1)):
            return f"ended with {code}: {said[-300:]}"
        if moved.exists():
            left = [str(file.relative_to(out)) for file in (out / str(command.folder)).rglob("*") if file.is_file()]
            if command.trains and left:
                return f"wrote {left} after its folder was {how}"
            shutil.rmtree(out / str(command.folder), ignore_errors=True)
            if how == "moved":
                moved.rename(out / str(command.folder))
        return self._run_again(command, words, how) or self._compare(command, unharmed, how)

    def _run_again(self, command: Command, words: list[str], how: str) -> str | None:
        # A killed predict that left its journal has that to remove still.
        if (self.out / "p.jsonl").exists() and not (self.out / "p.jsonl.part").exists():
            return None
        # What --quiet would leave out is looked for.
        words = [word for word in words if how != "threads" or word != "--quiet"] + list(command.again)
        begun = (self.out / "run" / "last.safetensors").exists()
        finished = (self.out / "run" / "model.onnx").exists()
        code, said, _ = run_command(words, self.out, threads=2 if how == "threads" else 1)
        if code == 2 and not command.again and "[file-exists]" in said:
            code, said, _ = run_command([*words, "--overwrite"], self.out)
        if code:
            return f"run again it ended with {code}: {said[-300:]}"
        if how == "threads" and begun and not finished and "started on another machine" not in said:
            return f"did not tell of other threads: {said[:300]}"
        return None

    def _compare(self, command: Command, unharmed: Path, how: str) -> str | None:
        for pattern in command.equal:
            files = [file.relative_to(unharmed) for file in unharmed.glob(pattern)]
            if not files:
                return f"{pattern} is missing from the unharmed one"
            for name in files:
                if not (self.out / name).is_file():
                    return f"{name} is missing"
                if how != "threads" and content(self.out / name) != content(unharmed / name):
                    return f"{name} differs from the unharmed one"
        litter = [str(file.relative_to(self.out)) for file in self.out.rglob("*.part")]
        return f"left {litter[0]}" if litter else None


def content(file: Path) -> bytes:
    """What must be as in the unharmed one. A trial that is queued again has a later number, which best.toml tells."""
    found = file.read_bytes()
    return re.sub(rb"Trial \d+,", b"Trial,", found) if file.suffix == ".toml" else found


def torture(seconds: float, seed: int, only: str | None = None) -> tuple[Counter[str], list[str]]:
    """Break commands off until the time is up. Returns trials by command and way, and what went wrong."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        os.environ["MIEN_CACHE"] = str(root / "cache")
        campaign = Campaign(root, seed)
        spent = {each.name: 0.0 for each in campaign.commands if only in {None, each.name}}
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            command = min((each for each in campaign.commands if each.name in spent), key=lambda each: spent[each.name])
            turn = time.monotonic()
            campaign.trial(command)
            spent[command.name] += time.monotonic() - turn
    return campaign.counts, campaign.findings


def main() -> None:
    """Torture and print counts, seed and findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default=None)
    options = parser.parse_args()
    seed = int(np.random.SeedSequence().entropy or 0) % 2**32 if options.seed is None else options.seed
    counts, findings = torture(options.seconds, seed, options.only)
    print(f"seed {seed}: {sum(counts.values()):,} broken off: {dict(sorted(counts.items()))}", flush=True)
    for line in findings[:50]:
        print(line)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
