#!/usr/bin/env bash
# hack/memory.sh [SECONDS]: resident memory and processor time of `smgw run` at one
# telegram a second, beside the bench, after SECONDS (default 60). Needs `make build`.
set -euo pipefail
seconds=${1:-60}
bin=$(cd "$(dirname "$0")/../build" && pwd)
contract=$(cd "$(dirname "$0")/../cmd/smgw-sim" && pwd)/demo.toml
dir=$(mktemp -d)
cd "$dir"
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$dir"' EXIT

"$bin/smgw-sim" pki init >/dev/null
"$bin/smgw" identity create --dir gateway/identity --gateway ESMG0000000001 >/dev/null
"$bin/smgw-sim" pki enrol --identity gateway/identity --contract "$contract" >/dev/null
"$bin/smgw-sim" headend --quiet >endpoint &
"$bin/smgw-sim" meter --roof --link "$dir/meter.tty" >port &
until [ -s endpoint ] && [ -s port ]; do sleep 0.1; done
{
  printf '[gateway]\nid = "ESMG0000000001"\nstate_dir = "%s/gateway"\n[[meter]]\nport = "serial:%s/meter.tty"\n' "$dir" "$dir"
  printf '[headend]\nendpoint = "%s"\n' "$(head -n 1 endpoint)"
  cat "$contract"
} >smgw.toml
"$bin/smgw" run --config smgw.toml 2>log &
agent=$!
sleep "$seconds"
grep -E '^(VmHWM|VmRSS|RssAnon|RssFile)' "/proc/$agent/status"
awk -v s="$seconds" -v hz="$(getconf CLK_TCK)" '{printf "processor time: %.2f s in %d s\n", ($14 + $15) / hz, s}' "/proc/$agent/stat"
"$bin/smgw" status --config smgw.toml --json | grep -o '"telegrams":[0-9]*'
start=$(date +%s%N)
kill -TERM "$agent"
wait "$agent"
echo "clean stop: $((($(date +%s%N) - start) / 1000000)) ms"
