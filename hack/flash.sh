#!/bin/sh
# Measures what one simulated day writes to a device: a store on ext4 on a loop
# device, and the device's own count of written sectors. Needs root.
#
#   hack/flash.sh [DAYS [MOUNT-OPTIONS [minutes|moments]]]
#
# With "minutes" a reading of each minute is kept too; with "moments" a momentary
# figure is sent each minute.
# The file system's metadata is written after every commit, as happens on a
# gateway where commits are minutes apart, and not merged as in a fast test.
set -eu
days=${1:-20}
options=${2:-noatime}
what=after_0
[ -z "${3:-}" ] || what=with_$3
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'mountpoint -q "$work/mnt" && umount "$work/mnt"; rm -rf "$work"' EXIT
mkdir "$work/mnt"
dd if=/dev/zero of="$work/image" bs=1M count=128 status=none
mkfs.ext4 -q -F -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 "$work/image"
mount -o "loop,$options" "$work/image" "$work/mnt"
device=$(basename "$(findmnt -no SOURCE "$work/mnt")")
go test -c -o "$work/buffer.test" ./buffer
written() { awk '{print $7 * 512}' "/sys/block/$device/stat"; }
BUFFER_DIR=$work/mnt BUFFER_SYNC=1 "$work/buffer.test" -test.run '^$' -test.bench "Day/$what" -test.benchtime 1x >/dev/null
rm -f "$work"/mnt/*.db; sync
before=$(written)
BUFFER_DIR=$work/mnt BUFFER_SYNC=1 "$work/buffer.test" -test.run '^$' -test.bench "Day/$what" -test.benchtime "${days}x"
sync
after=$(written)
# the benchmark runs once with one day first, and then with all
echo "device $device: $(((after - before) / (days + 1))) bytes a day ($what) over $((days + 1)) days (ext4 mounted $options; its journal and metadata included)"
