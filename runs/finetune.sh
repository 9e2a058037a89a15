#!/usr/bin/env bash
# Teach nano something it has never seen, from 20 pictures: a LoRA for both networks, then prompts it has not met.
#   bash runs/finetune.sh [WORK]              default work/identity; can be stopped and started again at any time
#   SHAPE=arrow COLOR=red bash runs/finetune.sh work/arrow
#   STEPS=40 bash runs/finetune.sh work/short    a fifth of the steps of the one network, a tenth of the other
# For your own pictures, put NAME.png and NAME.txt (its caption) into a folder and run the middle step alone:
#   inkwash train finetune --set data=FOLDER --set work=WORK
#   inkwash generate PROMPT --lora WORK/lora
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-work/identity}
inkwash=${INKWASH:-.venv/bin/inkwash}
[ -x "$inkwash" ] || make setup
# Small matrices: one thread does the same in less CPU time than two.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=PASSIVE
example=("$(dirname "$inkwash")/python" examples/new_shape.py)
what=(--shape "${SHAPE:-cross}" --color "${COLOR:-yellow}")

"${example[@]}" pictures "$work/pictures" "${what[@]}"
"$inkwash" train finetune --set "data=$work/pictures" --set "work=$work" --set side=256 \
  ${STEPS:+--set "ar.steps=$STEPS" --set "decoder.steps=$STEPS"}
"${example[@]}" score "$work" "${what[@]}"
