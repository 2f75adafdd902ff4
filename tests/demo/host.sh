#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demo's second half, in the VM, which plays storage server and host.
set -euo pipefail
work=/tmp/demo
step() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }
run() { echo "   # $*"; "$@"; }

mkdir -p $work
step "4. a storage server with a file-backed vdisk of 256 MiB"
echo "   # vxhsd --listen 127.0.0.1:9999 --export guest1=$work/guest1.img,size=256M"
vxhsd --listen 127.0.0.1:9999 --state-dir $work/state \
	--export guest1=$work/guest1.img,size=256M 2>$work/vxhsd.log &
server=$!
until grep -q 'vxhsd: ready' $work/vxhsd.log; do
	kill -0 $server || { cat $work/vxhsd.log; exit 1; }
	sleep 0.1
done

step "5. attaching it; this loads the kernel module"
echo "   # vxhsctl attach 127.0.0.1 guest1"
disk=$(vxhsctl attach 127.0.0.1 guest1)
echo "   $disk"
run vxhsctl list

step "6. a filesystem with data on $disk"
run mkfs.ext4 -q -E lazy_itable_init=1 "$disk"
mkdir $work/mnt
run mount "$disk" $work/mnt
cat >$work/mnt/letter.txt <<'LETTER'
Dear guest,
you think that this is your own disk. It is a file on a storage server, and
every block of this letter came over the network to you.
LETTER
head -c 4M /dev/urandom >$work/mnt/data
(cd $work/mnt && sha256sum data >data.sha256)

step "7. fio: random writes and reads, each block verified by its checksum"
fio --name=demo --filename=$work/mnt/fio --size=16M --rw=randrw --bs=4k-64k \
	--ioengine=io_uring --direct=1 --iodepth=16 --verify=crc32c \
	--verify_fatal=1 --output=$work/fio.log || { cat $work/fio.log; exit 1; }
sed -n 's/^ *\(read\|write\): /   \1: /p' $work/fio.log
rm $work/mnt/fio
run umount $work/mnt

step "8. QEMU as user 'nobody', who owns nothing but the node $disk"
chown nobody "$disk"
chmod 600 "$disk"
install -m 644 "/boot/vmlinuz-$(uname -r)" $work/kernel
install -m 644 build/demo/guest.cpio $work/
chmod 755 $work
# Emulated twice, the guest is so slow that its clock would drown it in timer
# interrupts: its time is made to go by instructions.
echo "   # qemu-system-x86_64 -drive file=$disk,format=raw,if=virtio,cache=none ..."
echo "   (emulation inside emulation: the guest needs about two minutes)"
setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs env -C / \
	qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none \
	-bios qboot.rom -icount shift=3 -m 256 -kernel $work/kernel -initrd $work/guest.cpio \
	-append "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests" \
	-drive "file=$disk,format=raw,if=virtio,cache=none" -serial stdio \
	</dev/null 2>&1 | tr -d '\r' | tee $work/guest.log |
	sed -u -n 's/^.*\(guest: .*\)/   \1/p' &
guest=$!
while kill -0 $guest 2>/dev/null; do
	sleep 1
	waited=$((${waited:-0} + 1))
	[ $((waited % 30)) != 0 ] || echo "   ... the guest runs ($SECONDS s)"
done
for line in 'every block of this letter' 'data: OK'; do
	grep -q "guest:   $line" $work/guest.log || {
		tail -n 40 $work/guest.log
		echo "   the guest did not get at its data"
		exit 1
	}
done

step "9. taking it all down"
run vxhsctl detach "$disk"
[ ! -e "$disk" ]
run modprobe -r vxhs
kill -TERM $server
wait $server

step "Summary"
cat <<TEXT
   A vdisk of a storage server was attached as $disk over TCP, got an ext4
   filesystem, passed fio's verification, and then was the disk of a QEMU guest
   that ran as an unprivileged user: the guest read its letter from it, and
   4 MiB of random data had the right sum.
TEXT
