#!/usr/bin/env bash
# Nano's third edition, from a finished second one: cards with pictures of things, wrapped texts, natural prompts.
#   bash runs/nano3.sh [WORK] [START]   WORK holds state, curves and samples (default work/nano3); START is a checkpoint
#                                       folder of the second edition, default work/nano/second/checkpoint
# Every stage continues where it was stopped. NANO_STEPS=20 NANO_SCENES=4 rehearses the way.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-work/nano3}
start=${2:-work/nano/second/checkpoint}
inkwash=${INKWASH:-.venv/bin/inkwash}
[ -x "$inkwash" ] || make setup
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}  # waiting threads sleep, which helps wherever other work runs, too

stage() {  # stage RECIPE [SETTINGS]: run it with the shortened steps of a rehearsal where asked for
  local recipe=$1
  shift
  echo "== $recipe"
  "$inkwash" train "$recipe" --set "work=$work" ${NANO_STEPS:+--set "steps=$NANO_STEPS"} "$@"
}

# 16384 codes, one for every common kind of cell: the stored ones, or with NANO_TOKENIZER=train new ones
if [ -f runs/nano3/tokenizer.safetensors ] && [ "${NANO_TOKENIZER:-}" != train ]; then
  "$inkwash" train nano3-tokenizer-stored --set "work=$work"
else
  stage nano3-tokenizer --set "start=$start"
fi
[ -d "$work/start" ] || "$inkwash" train nano3-start --set "work=$work" --set "start=$start"
stage nano3-vae-refined --set "start=$start"  # the pixel half, on things, more faces and large Chinese
stage nano3-decoder --set steps="${NANO_STEPS:-6400}"
stage nano3-ar --set steps="${NANO_STEPS:-5450}"

# A second run from the weights of the first, mostly on pictures of the default size
again="$work/again"
[ -d "$again/start" ] || "$inkwash" train nano3-export --set "work=$work" --set "output=$again/start"
first=$work work=$again
stage nano3-decoder --set again=true
stage nano3-ar --set again=true
work=$first
"$inkwash" train nano3-export --set "work=$again" --set "output=$work/checkpoint"

score=(--model "$work/checkpoint" --dtype bfloat16 --batch 1)
"$inkwash" eval natural "${score[@]}" --json "$work/natural.json"
"$inkwash" eval scenes --level card -n "${NANO_SCENES:-300}" "${score[@]}" --json "$work/scenes.json"
"$inkwash" eval scenes --level card -n "${NANO_SCENES:-100}" --language zh "${score[@]}" --json "$work/scenes_zh.json"
"$inkwash" eval edits --level card -n "${NANO_SCENES:-120}" "${score[@]}" --json "$work/edits.json"
