#!/bin/bash
# Runs the long tests of faults in turn for some minutes, each round with another
# seed, and prints what was tried and what was lost. A failed run counts as
# a loss; what it said is kept.
#
#   hack/soak.sh [MINUTES]        (make soak MINUTES=30)
#
# Power cuts and failing disks need root and /dev/fuse, as the tests say.
set -u
minutes=${1:-30}
began=$(date +%s)
end=$((began + 60 * minutes))
cd "$(dirname "$0")/.."
work=$(mktemp -d)
go test -c -o "$work/buffer.test" ./buffer && go test -c -o "$work/sim.test" ./cmd/smgw-sim || exit 1

names=("power cuts: files that one could leave" "operations of the disk that fail" "the same in a migration"
	"damaged files" "kills of a process that writes" "steps against the model, with power cuts and full stores"
	"kills of agent and head-end under way")
counts=(0 0 0 0 0 0 0)
lost=(0 0 0 0 0 0 0)

# try ROW FOLDER COMMAND…: runs a test and adds the first number of the line that
# the test logs about what it tried.
try() {
	local row=$1 folder=$2 out=$work/out.$1.$seed
	shift 2
	[ "$(date +%s)" -lt "$end" ] || return
	if (cd "$folder" && SMGW_SEED=$seed "$@" -test.v >"$out" 2>&1); then
		n=$(sed -nE 's/^ *[a-z_]+_test\.go:[0-9]+: ([0-9]+) .*/\1/p' "$out" | head -1)
		counts[row]=$((counts[row] + ${n:-0}))
		rm "$out"
	else
		lost[row]=$((lost[row] + 1))
		echo "failed: ${names[row]}, seed $seed: $out" >&2
	fi
}

for ((seed = 1; $(date +%s) < end; seed++)); do
	try 0 buffer "$work/buffer.test" -test.run '^TestPowerCuts$'
	try 1 buffer "$work/buffer.test" -test.run '^TestFailingDisk$'
	try 2 buffer "$work/buffer.test" -test.run '^TestMigrationSurvivesEveryFault$'
	try 3 buffer "$work/buffer.test" -test.run '^TestDamagedFiles$'
	try 4 buffer "$work/buffer.test" -test.run '^TestKilledProcessLosesNothingItAcknowledged$'
	try 5 buffer env BUFFER_STEPS=10000 "$work/buffer.test" -test.run '^TestStoreAgreesWithItsModel$' -rapid.nofailfile
	try 6 cmd/smgw-sim env SMGW_KILLS=20 "$work/sim.test" -test.run '^TestNothingIsLostToSIGKILL$'
done

printf '%d rounds in %d minutes\n\n| fault | tried | runs that lost something |\n|---|---|---|\n' $((seed - 1)) $((($(date +%s) - began) / 60))
status=0
for row in "${!names[@]}"; do
	printf '| %s | %s | %s |\n' "${names[row]}" "${counts[row]}" "${lost[row]}"
	[ "${lost[row]}" = 0 ] || status=1
done
[ $status = 1 ] && echo "what failed is in $work" || rm -rf "$work"
exit $status
