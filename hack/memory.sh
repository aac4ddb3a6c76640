#!/usr/bin/env bash
# hack/memory.sh [SECONDS]: what `smgw run` takes beside the bench, at one telegram a
# second, with a year of quarter hours in the store and a head-end that has been away
# for the last sixty days: resident memory while it starts, for SECONDS (default 60)
# and while people look, processor time, time to the first reading, time to stop.
# Needs `make build`; the year takes about a minute.
#
# RssAnon is memory that only the program's end gives back. RssFile is pages of the
# program's and the store's file that were looked at: the kernel drops them when it
# needs the room. VmRSS is both, and what the budget is about. The peak is VmHWM, the
# kernel's own highest VmRSS, which no sampling misses; it is set back for each line.
set -euo pipefail
seconds=${1:-60}
bin=$(cd "$(dirname "$0")/../build" && pwd)
contract=$(cd "$(dirname "$0")/../cmd/smgw-sim" && pwd)/demo.toml
dir=$(mktemp -d)
cd "$dir"
memory=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) # for 35,040 commits that need not last
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$dir" "$memory"' EXIT

quarter=$(($(date +%s) / 900 * 900))
day() { date -u -d "@$((quarter - $1 * 86400))" +%FT%TZ; }
ln -s "$memory" gateway

"$bin/smgw-sim" pki init >/dev/null
"$bin/smgw" identity create --dir gateway/identity --gateway ESMG0000000001 >/dev/null
"$bin/smgw-sim" pki enrol --identity gateway/identity --contract "$contract" >/dev/null
"$bin/smgw-sim" headend --quiet --control headend.sock >endpoint &
until [ -s endpoint ]; do sleep 0.1; done
{
  printf '[gateway]\nid = "ESMG0000000001"\nstate_dir = "%s/gateway"\n[[meter]]\nport = "serial:%s/meter.tty"\n' "$dir" "$dir"
  printf '[headend]\nendpoint = "%s"\n' "$(head -n 1 endpoint)"
  cat "$contract"
} >smgw.toml

# live FROM UNTIL: the agent lives through these days, a telegram each quarter hour.
live() {
  "$bin/smgw-sim" agent --config smgw.toml --zero "$(day 365)" 2>>log &
  local agent=$!
  "$bin/smgw-sim" meter --fast --roof --link "$dir/meter.tty" --interval 15m --installed "$(day 365)" --start "$1" --until "$2" >/dev/null
  sleep 2
  kill -TERM "$agent"
  wait "$agent"
}
live "$(day 365)" "$(day 60)"
"$bin/smgw-sim" headend fault --control headend.sock --down
live "$(day 60)" "$(day 0)"

rm gateway
mkdir gateway
cp -r "$memory/." gateway/
"$bin/smgw-sim" meter --roof --link "$dir/meter.tty" --installed "$(day 365)" >port &
until [ -s port ]; do sleep 0.1; done
# resident WHAT: the peak since the last line, and the memory now.
peaks=()
resident() {
  local peak
  peak=$(awk '/^VmHWM/ {print $2}' "/proc/$agent/status")
  peaks+=("$peak")
  printf '%-34s peak %5d kB; now ' "$1:" "$peak"
  grep -E '^(VmRSS|RssAnon|RssFile)' "/proc/$agent/status" | tr -s '\t \n' ' '
  echo
  echo 5 >"/proc/$agent/clear_refs"
}
verb() { "$bin/smgw" "$@" --config smgw.toml; }

start=$(date +%s%N)
"$bin/smgw" run --config smgw.toml 2>>log &
agent=$!
until verb status --json 2>/dev/null | grep -q '"telegrams":[1-9]'; do sleep 0.02; done
echo "first reading: $((($(date +%s%N) - start) / 1000000)) ms after the start"
sleep 3
resident "start, with looks by smgw status"
sleep "$seconds"
awk -v s="$((seconds + 3))" -v hz="$(getconf CLK_TCK)" '{t = ($14 + $15) / hz; printf "processor time: %.2f s in %d s, %.2f %% of one core\n", t, s, 100 * t / s}' "/proc/$agent/stat"
resident "$seconds s"
verb status --json | grep -oE '"(telegrams|waiting|boundaries|file_bytes)":[0-9]+' | sort -u | tr '\n' ' '
echo
resident "a look with smgw status"
for _ in {1..50}; do verb status >/dev/null; done
resident "fifty more, one after the other"
sleep 11
resident "eleven seconds later"
echo "the highest of these: $(printf '%s\n' "${peaks[@]}" | sort -n | tail -n 1) kB"
verb form show >/dev/null
resident "smgw form show"
verb export >/dev/null
resident "smgw export, all of the year"
verb store check >/dev/null
resident "smgw store check"
start=$(date +%s%N)
kill -TERM "$agent"
wait "$agent"
echo "clean stop: $((($(date +%s%N) - start) / 1000000)) ms"
