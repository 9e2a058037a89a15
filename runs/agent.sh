#!/usr/bin/env bash
# The nano agent: nano-v learns to read pages full of words, to find words on them, then to operate panels, small pages
# that a browser draws.
#   bash runs/agent.sh [WORK] [MODEL]   WORK holds pages, state and curves (default work/agent). MODEL is what it begins
#                                       from: by default runs/agent/reader, nano-v after some reading and finding; nano-v itself, or
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
reading=$((pages / 2))
first=4000 act=6500 steps=11000  # the steps before anything is said, before panels come in earnest, and all of them
if [ "$model" = runs/agent/reader ]; then first=2 act=2000 steps=6000; fi
if [ -n "${NANO_STEPS:-}" ]; then first=1 act=2 steps=$NANO_STEPS; fi
"$inkwash" train nano-agent-pages --set "work=$work" --set "pages=$pages" --set "reading=$reading"
"$inkwash" train nano-agent --set "work=$work" --set "pages=$pages" --set "reading=$reading" --set "model=$model" \
  --set "knows=${NANO_KNOWS:-scenes}" --set "steps=$steps" --set "language_from=$first" --set "act_from=$act"
"$inkwash" train nano-agent-export --set "work=$work" --set "model=$model" --set "output=$work/checkpoint"
"$inkwash" eval agent -n "${NANO_TASKS:-300}" --tasks single --model "$work/checkpoint" --json "$work/single.json"
"$inkwash" eval agent -n "${NANO_TASKS:-300}" --tasks multi --model "$work/checkpoint" --json "$work/multi.json"
"$inkwash" eval questions -n "${NANO_TASKS:-300}" --model "$work/checkpoint" --json "$work/questions.json"
