#!/usr/bin/env bash
# The nano agent: nano-v learns to read pages full of words, then to operate panels, small pages that a browser draws.
#   bash runs/agent.sh [WORK] [MODEL]   WORK holds pages, state and curves (default work/agent). MODEL is what it begins
#                                       from: by default runs/agent/reader, nano-v after its reading; nano-v itself, or
#                                       a checkpoint folder such as that of runs/nano_v.sh, learns to read first.
# NANO_KNOWS=cards for a checkpoint of nano-v2, which was trained on cards; default scenes.
# It continues where it was stopped. NANO_STEPS=4 NANO_PAGES=128 NANO_TASKS=4 rehearses the way. Chromium must be there.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-work/agent}
model=${2:-runs/agent/reader}
inkwash=${INKWASH:-.venv/bin/inkwash}
[ -x "$inkwash" ] || make setup
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}  # waiting threads sleep, which helps wherever other work runs, too
pages=${NANO_PAGES:-8192}
reading=$((pages / 2)) first=4000 steps=14000  # pages full of words, and the steps before anything is said
if [ "$model" = runs/agent/reader ]; then  # a short reading for the heads of its cells, which are no part of it
  reading=$((pages / 16)) first=300 steps=10300
fi
"$inkwash" train nano-agent-pages --set "work=$work" --set "pages=$pages" --set "reading=$reading"
"$inkwash" train nano-agent --set "work=$work" --set "pages=$pages" --set "reading=$reading" --set "model=$model" \
  --set "knows=${NANO_KNOWS:-scenes}" --set "steps=${NANO_STEPS:-$steps}" \
  --set "language_from=$([ -n "${NANO_STEPS:-}" ] && echo 1 || echo "$first")"
"$inkwash" train nano-agent-export --set "work=$work" --set "model=$model" --set "output=$work/checkpoint"
"$inkwash" eval agent -n "${NANO_TASKS:-300}" --tasks single --model "$work/checkpoint" --json "$work/single.json"
"$inkwash" eval agent -n "${NANO_TASKS:-300}" --tasks multi --model "$work/checkpoint" --json "$work/multi.json"
"$inkwash" eval questions -n "${NANO_TASKS:-300}" --model "$work/checkpoint" --json "$work/questions.json"
