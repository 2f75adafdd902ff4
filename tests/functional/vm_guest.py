#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# vm-run: --mem 2048 --timeout 1100 --
"""In the VM: a guest in QEMU, on a vdisk that two servers serve, keeps
writing and fsyncing while one server after the other is killed. It sees no
error, and its journal is clean. QEMU is nobody, sees no file but its own, no
network, and of devices that one. (Emulation in an emulation: minutes.)"""

import os
import re
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib')]

import jail
import vm
from harness import TOP, Vxhsd, check, equal, eventually, main, test, tmpdir
from vm import detach, host, settle, sh, show, vxhsctl

FILES = 20
KILLS = (2, 6, 10, 14)          # after so many files
INIT = r'''#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /mnt
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
for m in /modules/*.ko; do $b insmod "$m" 2>/dev/null; done
$b mount -t ext4 /dev/vda /mnt && echo "guest: mounted"
i=0
while [ $i -lt %d ]; do
	i=$((i + 1))
	$b dd if=/dev/urandom of=/mnt/f$i bs=4096 count=8 conv=fsync \
		2>/dev/null || { echo "guest: error at $i"; break; }
	echo "guest: synced $i $($b md5sum </mnt/f$i)"
	$b usleep 200000
done
$b dmesg | $b grep -iE 'ext4.*(error|abort)|I/O error' | $b head -n 5
$b umount /mnt && echo "guest: unmounted"
$b poweroff -f
''' % FILES


def copy_kernel(folder):
    """Of this machine, not compressed: to unpack itself takes the guest as
    long as to boot."""
    with open('/boot/vmlinuz-' + os.uname().release, 'rb') as file:
        image = file.read()
    at = image.find(b'\x28\xb5\x2f\xfd')       # of zstd
    if at >= 0:
        done = subprocess.run(['zstd', '-dcq'], input=image[at:], check=False,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        if done.stdout.startswith(b'\x7fELF'):
            image = done.stdout
    with open(folder + '/vmlinux', 'wb') as file:
        file.write(image)


QEMU = '/usr/bin/qemu-system-x86_64'
ITS_OWN = (QEMU, '/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/share/qemu',
           '/usr/share/seabios')


class Guest:
    """QEMU, jailed with the device; what its console says."""

    def __init__(self, device, folder):
        self.said = []
        init = os.path.join(folder, 'init')
        with open(init, 'w') as file:
            file.write(INIT)
        self.root = os.path.join(folder, 'root')
        os.mkdir(self.root, 0o755)
        self.jail = jail.Jail(self.root, device, ITS_OWN)
        image = os.path.join(self.root, 'guest.cpio')
        sh('%s/tests/lib/initramfs.sh "$(uname -r)" %s %s virtio_pci '
           'virtio_blk ext4 crc32c_generic' % (TOP, init, image), 300)
        copy_kernel(self.root)
        # See tests/demo/host.sh for the options.
        self.process = subprocess.Popen(
            [QEMU, '-nodefaults', '-no-user-config',
             '-no-reboot', '-display', 'none', '-bios', 'qboot.rom',
             '-icount', 'shift=3', '-m', '256', '-sandbox',
             'on,obsolete=deny,elevateprivileges=deny,spawn=deny,'
             'resourcecontrol=deny',
             '-kernel', '/vmlinux', '-initrd', '/guest.cpio', '-append',
             'console=ttyS0 quiet panic=-1 mitigations=off nokaslr '
             'cryptomgr.notests',
             '-drive', 'file=%s,format=raw,if=virtio,cache=none,'
             'werror=report,rerror=report' % self.jail.node,
             '-serial', 'stdio'], preexec_fn=self.jail.enter, env={},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors='replace')
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.said.append(line.strip())
            print('# ' + line.strip(), flush=True)

    def is_jailed(self):
        """Before its guest has done anything, and to its end."""
        said = jail.status(self.process.pid)
        equal((said['Uid'], said['Gid'], said['Groups']),
              (['65534'] * 4, ['65534'] * 4, []))
        equal([said[key] for key in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd',
                                     'CapAmb')], [['0' * 16]] * 5)
        equal((said['NoNewPrivs'], said['Seccomp']), (['1'], ['2']))
        equal((said['interfaces'], said['routes']), (['lo'], []))
        at = '/proc/%d/root' % self.process.pid
        equal(sorted(os.listdir(at)), ['dev', 'guest.cpio', 'lib', 'lib64',
                                       'usr', 'vmlinux'])
        equal(os.listdir(at + '/dev'), [os.path.basename(self.jail.node)])

    def synced(self):
        """{file: md5} of what its fsync has promised."""
        found = [re.search(r'guest: synced (\d+) (\w{32})', line)
                 for line in list(self.said)]
        return {int(m.group(1)): m.group(2) for m in found if m}

    def wait_for(self, n):
        def there():
            check(self.process.poll() is None or len(self.synced()) >= n,
                  'QEMU ended with %s' % self.process.returncode)
            return len(self.synced()) >= n
        eventually(there, 'no fsync of the guest ends', 600)


@test
def a_guest_runs_through_failovers():
    folder = tmpdir()
    os.mkdir(folder + '/shared')
    export = 'd=%s/d,size=64M,cache=none,shared=%s/shared' % (folder, folder)
    state = [tmpdir(), tmpdir()]
    servers = [Vxhsd(export, state_dir=path) for path in state]
    out, _ = vxhsctl('attach', ','.join(map(host, servers)), 'd',
                     '--kato', 1)
    device = out.strip()
    sh('mkfs.ext4 -q -F -E lazy_itable_init=0 ' + device)
    settle()
    guest = Guest(device, folder)
    for n in KILLS:
        guest.wait_for(n)
        guest.is_jailed()
        at = eventually(lambda: [i for i, s in enumerate(servers)
                                 if vm.established(s.port)],
                        'no server has the session')[0]
        epoch = show(device)['session']['epoch']
        servers[at].kill()
        eventually(lambda: show(device)['session']['epoch'] > epoch and
                   show(device)['session']['state'] == 'live',
                   'the other server does not take it', 60)
        servers[at] = Vxhsd(export, port=servers[at].port,
                            state_dir=state[at])
    guest.wait_for(FILES)
    equal(guest.process.wait(200), 0, 'exit status of QEMU')
    guest.jail.remove()
    eventually(lambda: any('guest: unmounted' in line
                           for line in guest.said), 'no word of the end', 20)
    bad = [line for line in guest.said
           if re.search('error|abort|read-only', line, re.I)]
    equal(bad, [], 'complaints of the guest')
    equal(len(guest.synced()), FILES, 'files')
    equal(show(device)['lost'], 0, 'lost')
    sh('e2fsck -fn ' + device)
    sh('mkdir -p /run/mnt && mount -o ro %s /run/mnt' % device)
    for number, digest in guest.synced().items():
        equal(sh('md5sum </run/mnt/f%d' % number).split()[0], digest,
              'file %d' % number)
    sh('umount /run/mnt')
    settle()
    detach(device)
    for server in servers:
        server.stop()


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
