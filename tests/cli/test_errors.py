"""Mistakes in commands: each is one line with its code, exit code 2, and nothing is written."""

import pytest

from support import refused

PREDICTED = "--predictions {predictions}"
TRAIN = "train {recipe} --data {data}"
STUDY = "study {study} --data {data}"
CASES = [
    ("val {run} --data {data}", "usage", "evaluate"),
    ("train quick", "usage", "--data --help"),
    ("predict x --modl x", "usage", "--modl --model"),
    ("train quick --data x --optimizer 5", "usage", "optim.name=VALUE"),
    ("train quick --data x --mixup 5", "usage", "augment.mixup=VALUE"),
    ("train quick --data x --augment 5", "usage", "augment.KEY=VALUE"),
    ("train quick --data x --imgsz 5", "usage", "input.size_px=VALUE"),
    ("audit --data x", "usage", "argument"),
    ("train quik --data {data}", "recipe-unknown", "'quik'"),
    (f"{TRAIN} --set optim.rate=1", "recipe-value", "'optim.rate'"),
    (f"{TRAIN} --out {{run}}", "file-exists", ""),
    (f"{TRAIN} --out {{run}} --resume --set seed=9", "run-other", "seed"),
    ("train {recipe} --data none", "data-missing", "none"),
    (f"{TRAIN} --from none", "model-missing", "none"),
    (f"{TRAIN} --map x", "label-scheme", "--map"),
    (f"{TRAIN} --epochs 0", "recipe-value", "epochs"),
    (f"{TRAIN} --time soon", "options", "--time"),
    (f"{TRAIN} --set distill.alpha=0.5", "recipe-value", "teachers"),
    ("train {recipe} --data {data} --set distill={{alpha=0.5}}", "recipe-value", "teachers"),
    ("train quick --from fast-int8 --data {data}", "model-not-trainable", "8"),
    (f"{TRAIN} --folds 3 --log tensorboard", "options", "--log"),
    (f"{TRAIN} --folds 3 --dry-run", "options", "--dry-run"),
    (f"{TRAIN} --find-lr --out x", "options", "--out"),
    (f"{TRAIN} --find-lr --resume", "options", "--find-lr"),
    (f"{TRAIN} --find-lr --folds 2", "options", "--find-lr"),
    (f"{TRAIN} --find-lr --log tensorboard", "options", "--find-lr"),
    (f"{TRAIN} --folds 2 --group person", "columns", "person"),
    (f"{TRAIN} --log paper", "logger", "paper"),
    ("distill {recipe} --data {data}", "usage", "--teachers"),
    ("distill {recipe} --data {data} --teachers {recipe}", "model-damaged", "{recipe}"),
    ("sweep quick --data {data} --trials 0", "options", "0"),
    ("study study-b", "options", "--data"),
    ("study study-b --data nowhere.csv", "data-missing", "nowhere.csv"),
    (f"{STUDY} --out {{study}}", "out-path", ".toml"),
    (f"{STUDY} --results {{study}}", "out-path", "--results"),
    (f"{STUDY} --out {{run}}", "out-path", "--out"),
    (f"{STUDY} --out {{data}}", "out-path", "--out"),
    (f"{STUDY} --finished", "nothing-finished", "results"),
    (f"{STUDY} --finished --dry-run", "options", "--finished"),
    (f"{STUDY} --jobs -1", "options", "--jobs"),
    ("evaluate {run} --data {data} --tta 3", "options", "10"),
    ("evaluate {run}", "options", "--data"),
    ("evaluate {run} --data {data} --overwrite", "options", "--out"),
    (f"evaluate {PREDICTED} {{run}}", "options", "MODEL"),
    (f"evaluate {PREDICTED} --split train", "options", "--split"),
    (f"evaluate {PREDICTED} --by source", "options", "--by"),
    (f"evaluate {PREDICTED} --map a=b", "options", "--data"),
    (f"evaluate {PREDICTED} --metric kapa", "metric-unknown", "'kappa'?"),
    ("report", "options", ""),
    ("report {run} --out {run}", "out-path", ""),
    (f"report {PREDICTED} --split test", "options", "--split"),
    ("report {predictions} --split test", "split-unknown", "test"),
    (f"report {PREDICTED} --map a=b", "options", "--map"),
    ("report none", "predictions-missing", "none"),
    ("report {run} --split test", "predictions-missing", "{run} --data --split --out"),
    ("compare {run}", "options", ""),
    ("compare {run} {run} --map a=b", "options", "--map"),
    ("compare {run} {run} --split test", "predictions-missing", "{run} --split"),
    ("compare {run} none", "predictions-missing", "none"),
    (f"compare {PREDICTED} {PREDICTED} --split test", "options", "--split"),
    ("compare {run} {run} --out {run}", "out-path", ""),
    ("check none.csv --data {data}", "file-unreadable", "none.csv"),
    ("check {predictions} --data {data} --claimed 73.2", "options", "73.2"),
    ("robustness {run} --data {data} --limit 0", "options", "0"),
    ("robustness {run} --data {data} --seed -1", "options", "-1"),
    ("robustness {run} --data {data} --overwrite", "options", "--out"),
    ("robustness {run} --data {data} --out {recipe}", "out-path", "--out"),
    ("explain {face} --model {run} --crops --method grad-cam", "method-unknown", "'gradcam'"),
    ("explain {face} --model {run} --crops --class hapy", "class-unknown", "'happy'"),
    ("audit {parquet} --predictions {predictions} --recipe quick", "options", "--recipe"),
    ("audit {parquet} --out {run}", "out-path", ""),
    ("predict {face} --crops --annotate x", "options", "--annotate"),
    ("predict {face} --crops --min-score 0.5", "options", "--min-score"),
    ("predict {face} --engine ray", "options", "ray"),
    ("predict {face} --engine ray --out x.csv --annotate x", "options", "--annotate"),
    ("predict {face} --json --csv", "options", "--csv"),
    ("predict {face} --out x.csv --json", "options", "--json"),
    ("predict {face} --overwrite", "options", "--overwrite"),
    ("predict https://example.org/a.jpg", "image-address", "a.jpg"),
    ("predict s3://KEY:SECRET@bucket/a", "image-address", "s3://KEY:***@bucket/a"),
    ("predict {face} nowhere.jpg --out new/out.csv", "file-missing", "nowhere.jpg"),
    ("predict {face} --model fast --classes nothing=neutral --out new/out.csv", "too-few-classes", ""),
    ("serve --model nothing.onnx", "model-missing", "nothing.onnx"),
    ("serve --host 192.0.2.1", "port-unavailable", "192.0.2.1"),
    ("serve --threads 0", "usage", "threads"),
    ("label {data}", "options", "--name --merge"),
    ("label {data} --name a --json", "options", "--json"),
    ("label {data} --name a --votes {recipe}", "out-path", "--votes"),
    ("export {run} --precision int8", "data-missing", "--data"),
    ("export {run} --data {data}", "options", "--data --precision"),
    ("export {run} --out recipe.toml", "out-path", "--out"),
    ("export {run} --group person", "options", "--group"),
    ("export fast", "run-missing", ""),
    ("data show {data} --out faces.gif", "out-path", ""),
    ("data show {data} --split tset --out a.png", "split-unknown", ""),
    ("data convert {data} --out x.csv", "out-path", ".parquet"),
    ("info --recipe quick --layers", "options", "--layers"),
]


@pytest.mark.parametrize(("line", "code", "values"), CASES, ids=[line for line, *_ in CASES])
def test_a_command_rejects_a_mistake_and_writes_nothing(
    mien, tmp_path, monkeypatch, line, code, values, recipe_file, tiny_run, face_folder, face_parquet
):
    # Files and folders by the names in the table.
    study = tmp_path / "two.toml"
    study.write_text(
        f'name = "two"\ntitle = "Two rates"\nrecipe = "{recipe_file}"\n'
        '[[variants]]\nname = "fast"\n[[variants]]\nname = "slow"\nset = { "optim.lr" = 0.001 }\n'
    )
    face, predictions = min((face_folder / "test" / "happy").iterdir()), tiny_run.predictions("validation")
    paths = {
        **{"run": tiny_run.path, "data": face_folder, "parquet": face_parquet, "face": face},
        **{"recipe": recipe_file, "study": study, "predictions": predictions},
    }
    monkeypatch.chdir(tmp_path)
    folders = (tmp_path, paths["run"], paths["data"])
    before = {file: file.stat().st_mtime_ns for folder in folders for file in folder.rglob("*")}
    answer = mien(*(word.format(**paths) for word in line.split()))
    refused(answer, code, *(value.format(**paths) for value in values.split()))
    assert {file: file.stat().st_mtime_ns for folder in folders for file in folder.rglob("*")} == before
