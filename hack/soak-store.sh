#!/bin/sh
# Runs the long tests of the store in turn for some minutes, and stops at the first
# failure. Model runs and the moments of kills are other ones in each round.
#
#   hack/soak-store.sh [MINUTES]
set -eu
end=$(($(date +%s) + 60 * ${1:-30}))
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go test -c -o "$work/buffer.test" ./buffer
rounds=0
while [ "$(date +%s)" -lt "$end" ]; do
	(cd buffer && "$work/buffer.test" -test.run 'Model' -rapid.checks 200 >/dev/null)
	(cd buffer && "$work/buffer.test" -test.run 'Killed' -test.count 5 >/dev/null)
	(cd buffer && "$work/buffer.test" -test.run 'PowerCuts|FailingDisk|Damage' >/dev/null)
	rounds=$((rounds + 1))
done
echo "$rounds rounds: $((rounds * 200)) model runs, $((rounds * 100)) kills, $((rounds * 3000)) power cuts, $((rounds * 321)) failing disks, $((rounds * 467)) damages; lost: 0"
