#!/usr/bin/env bash
# Nano's second edition, from a finished first one: several lines, two sizes, every case, digits, signs, Chinese.
#   bash runs/nano2.sh [WORK] [START]   WORK holds state, curves and samples (default work/nano2); START is a checkpoint
#                                       folder, default work/nano/checkpoint
# Every stage continues where it was stopped. NANO_STEPS=20 NANO_SCENES=4 rehearses the way.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-work/nano2}
start=${2:-work/nano/checkpoint}
inkwash=${INKWASH:-.venv/bin/inkwash}
[ -x "$inkwash" ] || make setup
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}  # waiting threads sleep, which helps wherever other work runs, too

stage() {  # stage RECIPE [SETTINGS]: run it with the shortened steps of a rehearsal where asked for
  local recipe=$1
  shift
  echo "== $recipe"
  "$inkwash" train "$recipe" --set "work=$work" ${NANO_STEPS:+--set "steps=$NANO_STEPS"} "$@"
}

stage nano2-tokenizer --set "start=$start"  # 8192 codes, one for every kind of cell
[ -d "$work/start" ] || "$inkwash" train nano2-start --set "work=$work" --set "start=$start"
stage nano2-vae-refined                     # the pixel half, on small letters and Chinese
stage nano2-decoder
stage nano2-ar
"$inkwash" train nano2-export --set "work=$work" --set "output=$work/checkpoint"

score=(--model "$work/checkpoint" --steps 20 --dtype bfloat16 --batch 1)
"$inkwash" eval scenes -n "${NANO_SCENES:-300}" --regions 1-5 "${score[@]}" --json "$work/scenes.json"
"$inkwash" eval scenes -n "${NANO_SCENES:-100}" --regions 1-3 --language zh "${score[@]}" --json "$work/scenes_zh.json"
"$inkwash" eval edits -n "${NANO_SCENES:-100}" "${score[@]}" --json "$work/edits.json"
