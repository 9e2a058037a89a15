#!/usr/bin/env bash
# Nano-V's second edition from nothing: a model that reads, names, counts and points at what cards show.
#   bash runs/nano_v.sh [WORK]          WORK holds state and curves (default work/nano_v)
# It continues where it was stopped. NANO_STEPS=20 NANO_SCENES=4 rehearses the way.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-work/nano_v}
inkwash=${INKWASH:-.venv/bin/inkwash}
[ -x "$inkwash" ] || make setup
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}  # waiting threads sleep, which helps wherever other work runs, too
"$inkwash" train nano-v2 --set "work=$work" ${NANO_STEPS:+--set "steps=$NANO_STEPS"}
"$inkwash" train nano-v2-export --set "work=$work" --set "output=$work/checkpoint"
"$inkwash" eval questions --level card -n "${NANO_SCENES:-300}" --model "$work/checkpoint" --json "$work/cards.json"
"$inkwash" eval questions --level card --language zh -n "${NANO_SCENES:-100}" --model "$work/checkpoint" \
  --json "$work/cards_zh.json"
"$inkwash" eval questions -n "${NANO_SCENES:-300}" --model "$work/checkpoint" --json "$work/first.json"
