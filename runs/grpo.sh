#!/usr/bin/env bash
# Reinforce a small checkpoint: head-room, the AR generator, the decoder, and a paired comparison with the start.
#   bash runs/grpo.sh [MODEL] [WORK] [LEVEL] [SIDE]     defaults: nano work/rl card 384
# The generator is rewarded for its plans as they are, or, of a model that does not tell what its codes show, for their
# pictures (REWARDS=pictures). It continues where it was stopped. STEPS=2 SCENES=4 rehearses the way.
set -euo pipefail
cd "$(dirname "$0")/.."
model=${1:-nano} work=${2:-work/rl} level=${3:-card} side=${4:-384}
inkwash=${INKWASH:-.venv/bin/inkwash}
[ -x "$inkwash" ] || make setup
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
world=(--set "world.level=$level" --set "world.side=$side")
plans=(--set rewards.plan=1 --set rewards.text=0 --set rewards.facts=0 --set rewards.look=0)
[ "${REWARDS:-plans}" = pictures ] && plans=()
steps=(--set "train.steps=${STEPS:-300}")
[ -f "$work/start/headroom.json" ] ||
  "$inkwash" rl headroom --set "model=$model" --set "work=$work/start" --set "prompts=${SCENES:-24}" "${world[@]}"
"$inkwash" rl ar --set "model=$model" --set "work=$work/ar" "${world[@]}" "${steps[@]}" "${plans[@]}"
"$inkwash" rl decoder --set "model=$work/ar/checkpoint" --set "work=$work/decoder" "${world[@]}" "${steps[@]}"
for name in start end; do
  checkpoint=$([ "$name" = start ] && echo "$model" || echo "$work/decoder/checkpoint")
  "$inkwash" eval scenes --model "$checkpoint" --level "$level" -n "${SCENES:-300}" --json "$work/$name.json"
done
"$inkwash" eval compare "$work/start.json" "$work/end.json"
