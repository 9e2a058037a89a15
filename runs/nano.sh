#!/usr/bin/env bash
# Nano from nothing, all three editions: every stage continues where it was stopped, so this script can be started again
# at any time. The second edition (runs/nano2.sh) goes on from the first, the third (runs/nano3.sh), which ships, from the
# second.
#   bash runs/nano.sh [WORK]          WORK holds state, curves, reports and samples; default work/nano
#   NANO_STEPS=20 NANO_SCENES=4 bash runs/nano.sh   a rehearsal of the whole way in minutes (the result draws nothing useful)
# A stage lies in WORK/<stage>: log.csv, curve.png, report.html, board/ for TensorBoard, state.pt to continue from.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-work/nano}
inkwash=${INKWASH:-.venv/bin/inkwash}
[ -x "$inkwash" ] || make setup
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}  # waiting threads sleep, which helps wherever other work runs, too

stage() {  # stage RECIPE: run it with the shortened steps of a rehearsal where asked for
  echo "== $1"
  "$inkwash" train "$1" --set "work=$work" ${NANO_STEPS:+--set "steps=$NANO_STEPS"}
}

stage nano-vae          # pixels <-> latents; text must survive it
stage nano-vae-refined  # a sharper pixel half on the same latents
stage nano-tokenizer    # ViT and codebook: what does each 32 px cell show?
stage nano-decoder      # tokens, glyphs and noise -> latents
stage nano-ar           # prompt (and pictures) -> tokens
"$inkwash" train nano-export --set "work=$work" --set "output=$work/checkpoint"

# The three numbers that say which part to feed next.
for source in vae teacher ar; do
  "$inkwash" eval scenes -n "${NANO_SCENES:-200}" --level first --model "$work/checkpoint" --steps 20 --source "$source" \
    --json "$work/scenes_$source.json"
done

bash runs/nano2.sh "$work/second" "$work/checkpoint"
bash runs/nano3.sh "$work/third" "$work/second/checkpoint"
