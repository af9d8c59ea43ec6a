"""Train teachers and a student on one GPU, in sessions of half an hour: the plan behind a better `default` and `best`.

    python release/gpu_plan.py teachers --data fer2013.parquet --out runs/gpu --minutes 28
    python release/gpu_plan.py labels   --data fer2013.parquet --out runs/gpu
    python release/gpu_plan.py student  --data fer2013.parquet --out runs/gpu --minutes 28

`teachers` trains all at once, each in a process of its own. After --minutes it stops them as Ctrl-C does; the same
command resumes them. It ends by exporting each teacher in 8 bits, which is small enough to carry off. `labels` writes
the teachers' predictions for the student's epochs, `student` trains on them. --epochs 1 --device cpu rehearses a step.

Exit code 0: the step is complete. 3: time is up, run it again. 1: a command failed; its output is in OUT/NAME.log.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

# Shapes that make other mistakes; all learn the label and the votes. Chosen by what is published and measured in
# docs/lab-notebook.md, before any of them was trained.
TEACHERS = {
    "resnet-a": ["model={name='resnet18', width=64, dropout=0.2}"],
    "resnet-b": ["model={name='resnet18', width=64, dropout=0.2}", "seed=1", "augment.cutmix=1.0"],
    "vgg": ["model={name='vgg13', width=64, dropout=0.4}", "seed=2", "optim.lr=0.05"],
    "wide": ["seed=3"],
    "plain": ["seed=4", "augment.mixup=0.0", "augment.rotation_degrees=10", "augment.scale=0.1", "model.dropout=0.4"],
    "robust": [
        *("model={name='resnet18', width=32, dropout=0.15}", "seed=5"),
        *("augment.blur=0.2", "augment.noise=0.2", "augment.low_resolution=0.2"),
    ],
}
TEACHER_RECIPE, TEACHER_EPOCHS = "teacher-votes", 300
# At one size: small images save time where arithmetic is scarce, not on a GPU.
ALWAYS = ["progressive_resizing=[]"]
STUDENT_RECIPE, STUDENT_EPOCHS, STORED_EPOCHS = "student-votes", 700, 60


def mien(*words: object) -> list[str]:
    """A command line."""
    return [sys.executable, "-m", "mien", *map(str, words)]


def settings(changes: list[str]) -> list[str]:
    """Changes of a recipe as options."""
    return [word for change in changes for word in ("--set", change)]


def train_all(commands: dict[str, list[str]], out: Path, minutes: float) -> int:
    """Run all at once until they end or time is up. Returns the exit code."""
    until = time.monotonic() + 60 * minutes
    running = {}
    for name, command in commands.items():
        log = (out / f"{name}.log").open("ab")
        running[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    codes: dict[str, int] = {}
    stopped = False
    while len(codes) < len(running):
        time.sleep(1)
        for name, process in running.items():
            if name not in codes and (code := process.poll()) is not None:
                codes[name] = code
                sys.stdout.write(f"{name}: exit code {code}\n")
                sys.stdout.flush()
        if time.monotonic() > until and not stopped:
            stopped = True
            for process in running.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
    # 130: stopped by this script; the checkpoint of the last whole epoch is kept.
    failed = [name for name, code in codes.items() if code not in {0, 130}]
    return 1 if failed else 3 if 130 in codes.values() else 0


def main() -> int:
    """Do one step. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("step", choices=("teachers", "labels", "student"))
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--epochs", type=int, help="instead of the plan's number, for a rehearsal")
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--only", nargs="+", choices=TEACHERS, default=list(TEACHERS), metavar="TEACHER")
    given = parser.parse_args()
    if not given.data.exists():
        parser.error(f"--data: {given.data} does not exist.")
    given.out.mkdir(parents=True, exist_ok=True)
    answers = given.out / "epoch-answers.npz"
    common = ["--data", given.data, "--device", given.device, "--resume", "--quiet"]
    if given.step == "teachers":
        epochs = given.epochs or TEACHER_EPOCHS
        code = train_all(
            {
                name: mien("train", TEACHER_RECIPE, *common, "--out", given.out / name)
                + settings([*ALWAYS, f"epochs={epochs}", *TEACHERS[name]])
                for name in given.only
            },
            given.out,
            given.minutes,
        )
        if code:
            return code
        commands = [
            mien("export", given.out / name, "--precision", "int8", "--data", given.data) for name in given.only
        ]
    elif given.step == "labels":
        teachers = [given.out / name for name in given.only]
        epochs = given.epochs or STORED_EPOCHS
        words = ["--data", given.data, "--recipe", STUDENT_RECIPE, "--epochs", epochs, "--out", answers]
        commands = [mien("soft-labels", *teachers, *words, *settings(ALWAYS))]
    else:
        words = [*common, "--teachers", answers, "--out", given.out / "student"]
        changes = [*ALWAYS, f"epochs={given.epochs or STUDENT_EPOCHS}"]
        distill = mien("distill", STUDENT_RECIPE, *words) + settings(changes)
        return train_all({"student": distill}, given.out, given.minutes)
    return max(subprocess.run(command).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main())
