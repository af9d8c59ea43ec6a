#!/bin/sh
# Train students of the three FER2013 teachers one after another, each from where it stopped. Start it in the background:
#   nohup sh release/students.sh DATA GPU OUT > /dev/null 2>&1 &
# DATA: fer2013_dev.parquet. GPU: the folder of teacher-*.safetensors. OUT: outside the repository; it gets a copy of src,
# so that later commits change no run, teachers/, a folder a run, and log.txt. PYTHON names another Python than .venv's.
set -eu
repo=$(cd "$(dirname "$0")/.." && pwd)
data=$(realpath "$1") gpu=$(realpath "$2")
python=${PYTHON:-$repo/.venv/bin/python}
mkdir -p "$3" && cd "$3"
exec >> log.txt 2>&1
# A second start beside a first one would do the same work.
exec 9> lock && flock -n 9
[ -d src ] || { mkdir src.part && cp -r "$repo/src/mien" src.part/ && cp "$repo/release/gpu_weights.py" src.part/ && mv src.part src; }
export PYTHONPATH="$PWD/src" OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
mien="nice -n 15 $python -m mien"
for name in teacher-resnet teacher-wide teacher-wide-mixed; do
    [ -f "teachers/$name/best.safetensors" ] || "$python" src/gpu_weights.py "$gpu" teachers "$name" --data "$data"
    [ -f "teachers/$name/model.onnx" ] || $mien export "teachers/$name"
done

# NAME RECIPE SEED SETTING...: a run that is finished is left as it is.
run() {
    name=$1 recipe=$2 seed=$3
    shift 3
    [ ! -f "$name/metrics.json" ] || return 0
    echo "$name $(date)"
    $mien distill "$recipe" "$@" --seed "$seed" --data "$data" --out "$name" --resume --quiet --tta 2 \
        --teachers teachers/teacher-resnet --teachers teachers/teacher-wide --teachers teachers/teacher-wide-mixed
}

geometry="--set augment.rotation_degrees=20 --set augment.shear=0.1 --set augment.translate=0.1 --set augment.scale=0.15
    --set augment.brightness_range=[0.5,1.2] --set augment.contrast=0.3 --set augment.blur=0.1 --set augment.noise=0.1
    --set augment.low_resolution=0.1 --set augment.random_erasing=0.1 --set augment.mixup=0 --set distill.alpha=0.7
    --set outputs.perceived.weight=2"
run tiny-0 tiny 0
run fast-0 fast-votes 0 $geometry --set epochs=160 --set model.stem_width=8 --set model.widths=[16,48,96,144]
run default-0 quick-votes 0 $geometry --set epochs=120 --set ema_decay=0.998 --set model.stem_width=8 --set model.widths=[32,96,192,256] --set optim.weight_decay=3e-4
run tiny-1 tiny 1
run tiny-2 tiny 2
run fast-1 fast-votes 1 $geometry --set epochs=160 --set model.stem_width=8 --set model.widths=[16,48,96,144]
run default-1 quick-votes 1 $geometry --set epochs=120 --set ema_decay=0.998 --set model.stem_width=8 --set model.widths=[32,96,192,256] --set optim.weight_decay=3e-4
