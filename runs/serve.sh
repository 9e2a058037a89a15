#!/usr/bin/env bash
# A server and everything a client may say to it, as curl lines; needs curl and nothing else.
#   bash runs/serve.sh            start a server, talk to it, stop it
#   bash runs/serve.sh HOST:PORT  talk to a server that runs already
set -euo pipefail
cd "$(dirname "$0")/.."
inkwash=${INKWASH:-.venv/bin/inkwash}
out=$(mktemp -d)
if [ $# -ge 1 ]; then
  address=$1
else
  [ -x "$inkwash" ] || make setup
  address=127.0.0.1:30000
  "$inkwash" serve nano --port 30000 --state "$out/state" --quiet &
  server=$!
  trap 'kill "$server" 2>/dev/null; wait "$server"' EXIT
fi
until curl -sf "http://$address/health" > "$out/health.json"; do sleep 0.5; done
echo "health: $(cat "$out/health.json")"

save() {  # save FILE: the first picture of the answer on stdin
  python3 -c "import sys, json, base64
answer = json.load(sys.stdin)
open('$1', 'wb').write(base64.b64decode(answer['data'][0].pop('b64_json')))
answer['data'][0].pop('plan', None)
print('$1', json.dumps(answer['used']), 'seconds', answer['timings']['total'], 'warnings', answer['warnings'])"
}

echo "== a picture"
curl -s "http://$address/v1/images/generations" -H "Content-Type: application/json" \
  -d '{"prompt": "A poster that says \"HELLO\"", "size": "256x256", "seed": 2}' | save "$out/poster.png"

echo "== an edit of it"
curl -s "http://$address/v1/images/edits" -F "image=@$out/poster.png" -F "prompt=Replace the background with blue." \
  | save "$out/edited.png"

echo "== a stream with progress and an unfinished picture (its events)"
curl -sN "http://$address/v1/images/generations" -H "Content-Type: application/json" \
  -d '{"prompt": "two red circles", "stream": true, "partial_images": 1, "progress": true, "steps": 4}' \
  | sed -n 's/^event: //p' | uniq -c

echo "== a job"
job=$(curl -s "http://$address/v1/images/generations?background=true" -H "Content-Type: application/json" \
  -d '{"prompt": "a green square", "steps": 4}' | python3 -c "import sys, json; print(json.load(sys.stdin)['id'])")
until curl -s "http://$address/v1/jobs/$job" | grep -q '"status":"completed"'; do sleep 0.5; done
echo "$job is completed"

echo "== an error"
curl -s "http://$address/v1/images/generations" -H "Content-Type: application/json" -d '{"prompt": "a", "n": 99}'
echo
echo "The pictures are in $out."
