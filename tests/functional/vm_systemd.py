#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: systemd, as process 1 of a namespace, starts and ends with what
the administrator's guide says about attaching at boot. The filesystem is
unmounted and its vdisk detached before the network goes. And vxhsd as the
service that is installed: as its own user, in its sandbox."""

import glob
import json
import os
import pwd
import re
import shutil
import signal
import ssl
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib')]

import vm
import vxhs
from certs import Authority
from harness import TOP, Vxhsd, check, equal, eventually, main, test, tmpdir
from vm import settle, sh

GUIDE = os.path.join(TOP, 'Documentation', 'administration.rst')
README = os.path.join(TOP, 'README.md')
ETC = '/etc/systemd/system/'
ADDRESS = '192.0.2.10'
MOUNT = '/srv/data'
SEEN = '/run/vxhs-test-network'

NETWORK = '''[Unit]
Before=network.target
Wants=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip addr add %s/24 dev store
ExecStop=sh -c 'cat /proc/self/mounts >%s.mounts; vxhsctl list --json >%s.disks'
ExecStop=ip addr del %s/24 dev store
''' % (ADDRESS, SEEN, SEEN, ADDRESS)
AGENT = 'vxhs-handshake'
# What the guide says of a unit that attaches with TLS.
WITH_TLS = '''[Unit]
Wants=%s.service
After=%s.service
''' % (AGENT, AGENT)
TARGET = '''[Unit]
Requires=basic.target
Wants=remote-fs.target
After=basic.target remote-fs.target
AllowIsolate=yes
'''
# In namespaces, so that what it mounts, kills and puts into groups is its own.
BOOT = '''
mkdir -p /sys/fs/cgroup/systemd
echo $$ >/sys/fs/cgroup/systemd/cgroup.procs
exec unshare --cgroup --mount --pid --fork --mount-proc sh -c '
	umount /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	exec env container=vxhs-test SYSTEMD_LOG_TARGET=console \
		/lib/systemd/systemd --system \
		--unit=vxhs-test.target --show-status=no'
'''


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.write(text)


def guide():
    """The unit and the line of fstab that it has."""
    with open(GUIDE) as file:
        text = file.read()
    found = re.search(r'^  # /etc/systemd/system/(\S+)\n(.*?)^  # /etc/fstab\n'
                      r'(.*?)^\S', text, re.M | re.S)
    check(found, 'the guide has no unit any more')
    name, unit, fstab = found.groups()
    unit = re.sub('^  ', '', unit, flags=re.M)
    check(ADDRESS in unit and MOUNT in fstab, 'the guide has other names')
    return name, unit, fstab.strip()


def readme(word):
    """The block of commands in the README that has this in it."""
    with open(README) as file:
        blocks = re.findall(r'^```sh\n(.*?)^```$', file.read(), re.M | re.S)
    found = [block for block in blocks if word in block]
    equal(len(found), 1, 'blocks of the README with ' + word)
    return found[0]


def only(*units):
    """Nothing is started but these, and what systemd cannot do without."""
    for path in glob.glob(ETC + '*.wants') + glob.glob(ETC + '*.requires'):
        shutil.rmtree(path)
    for folder in glob.glob('/lib/systemd/system/*.target.wants'):
        for name in os.listdir(folder):
            if name.endswith(('.service', '.socket', '.mount', '.automount',
                              '.timer', '.path')):
                sh('ln -sf /dev/null %s%s' % (ETC, name))
    for name, wanted_by in units:
        sh('mkdir -p {0}{1}.wants && ln -s ../{2} {0}{1}.wants/'.format(
            ETC, wanted_by, name))


class Systemd:
    def __init__(self, log):
        with open(log, 'w') as out:
            self.process = subprocess.Popen(
                ['sh', '-c', BOOT], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out)
        self.pid = eventually(self.child, 'systemd does not start', 60)

    def child(self):
        pid = self.process.pid
        check(self.process.poll() is None, 'systemd ended')
        with open('/proc/%d/task/%d/children' % (pid, pid)) as file:
            words = file.read().split()
        for word in words:
            try:
                with open('/proc/%s/comm' % word) as file:
                    if file.read().strip() == 'systemd':
                        return int(word)
            except OSError:     # it ended meanwhile
                pass
        return None

    def ctl(self, *args):
        return vm.run('nsenter', '-t', str(self.pid), '-m', '-p', 'systemctl',
                      *args)

    def has(self, unit):
        return self.ctl('is-active', '--quiet', unit).returncode == 0

    def power_off(self):
        """What "systemctl poweroff" makes it do, see systemd(1)."""
        os.kill(self.pid, signal.SIGRTMIN + 4)
        eventually(lambda: self.process.poll() is not None,
                   'systemd does not end', 240)


def service(name='vxhsd'):
    with open(os.path.join(TOP, 'tools', name, name + '.service')) as file:
        return file.read().replace('@SBINDIR@', '/usr/local/sbin')


@test
def units_are_without_fault():
    name, unit, _ = guide()
    write(ETC + name, unit)
    write(ETC + 'vxhsd.service', service())
    write(ETC + AGENT + '.service', service(AGENT))
    for what in (name, 'vxhsd.service', AGENT + '.service'):
        done = vm.run('systemd-analyze', 'verify', '--man=no', ETC + what)
        mine = [line for line in done.stderr.splitlines() if 'vxhs' in line]
        equal((done.returncode, mine), (0, []), what)
    # In tenths; what it needs of the network and of capabilities is 18.
    sh('systemd-analyze security --offline=yes --threshold=23 %s%s.service' %
       (ETC, AGENT))


def agent_is_well(systemd):
    """It runs in its sandbox, and has no more than it needs."""
    check(systemd.has(AGENT + '.service'), 'it does not run')
    pid = sh('pgrep -x ' + AGENT).strip()
    with open('/proc/%s/status' % pid) as file:
        status = dict(line.split(':', 1) for line in file)
    kept = 1 << 12 | 1 << 14        # CAP_NET_ADMIN, CAP_IPC_LOCK
    equal([int(status[name], 16) for name in ('CapPrm', 'CapEff', 'CapInh')],
          [kept, kept, 0], 'its capabilities')
    equal(status['Seccomp'].strip(), '2', 'its filter of system calls')
    check(int(status['VmLck'].split()[0]) > 8192, 'it is not locked in memory')


@test
def filesystems_are_unmounted_before_the_network_goes():
    name, unit, fstab = guide()
    sh('modprobe dummy; ip link add store type dummy; ip link set store up; '
       'ip addr add %s/24 dev store; mkdir -p %s' % (ADDRESS, MOUNT))
    server = Vxhsd('guest1=memory,size=64M', addr=ADDRESS, port=9999)
    device = vm.vxhsctl('attach', ADDRESS, 'guest1')[0].strip()
    sh('mkfs.ext4 -q -F ' + device)
    settle()
    vm.detach(device)
    sh('ip addr del %s/24 dev store' % ADDRESS)

    write('/etc/fstab', fstab + '\n')
    write(ETC + name, unit)
    write(ETC + name + '.d/tls.conf', WITH_TLS)
    write('/etc/vxhs/host.psk', 'host:' + '5a' * 32 + '\n')
    os.chmod('/etc/vxhs/host.psk', 0o600)
    write('/etc/vxhs/handshake.conf',
          '[identity default]\npsk = /etc/vxhs/host.psk\n')
    write(ETC + 'vxhs-test.target', TARGET)
    write(ETC + 'vxhs-test-network.service', NETWORK)
    wanted_by = re.search(r'^WantedBy=(\S+)$', unit, re.M).group(1)
    only((name, wanted_by), ('vxhs-test-network.service',
                             'network-online.target'))
    systemd = Systemd(tmpdir() + '/log')
    eventually(lambda: systemd.has('srv-data.mount'),
               'it is not mounted', 240)
    agent_is_well(systemd)
    # In the page cache when the shutdown begins.
    write('/proc/%d/root%s/file' % (systemd.pid, MOUNT), 'kept' * 100000)
    systemd.power_off()

    with open(SEEN + '.mounts') as file:
        equal([line for line in file if MOUNT in line], [],
              'mounted when the network went')
    with open(SEEN + '.disks') as file:
        equal(json.load(file), [], 'attached when the network went')
    equal(vm.devices(), [], 'devices')
    sh('ip addr add %s/24 dev store' % ADDRESS)
    device = vm.vxhsctl('attach', ADDRESS, 'guest1')[0].strip()
    settle()
    state = sh('dumpe2fs -h %s 2>/dev/null' % device)
    check(re.search('state: +clean', state) and 'needs_recovery' not in state,
          'it was not unmounted: ' + state)
    sh('mount -o ro %s %s' % (device, MOUNT))
    with open(MOUNT + '/file') as file:
        equal(len(file.read()), 400000, 'the file')
    sh('umount ' + MOUNT)
    vm.detach(device)
    server.stop()


PORT = 9998
LOG = '/run/vxhsd.log'
CONFIG = '''[server]
listen = 127.0.0.1:%d
tls = x509
tls-cert = /etc/vxhs/tls/storage1.pem
tls-key = /etc/vxhs/tls/storage1.key
tls-ca = /etc/vxhs/tls/ca.pem
audit = /var/log/vxhs/audit.json
[export file]
target = /srv/vxhs/file.img
size = 16M
allow = *:rw
[export disk]
target = %%s
cache = none
allow = *:rw
''' % PORT
# As vxhsd(8) has it.
DROP_IN = '''[Service]
PrivateDevices=no
SupplementaryGroups=disk
DeviceAllow=%s rw
'''
# Of the tests of host_native.py, those that meet the sandbox: files, direct
# I/O, leases, memory, the end.
INSIDE = ('lanes_of_an_epoch_show_one_server', 'vdisk_ids_differ_and_can_be_set',
          'data_of_all_sizes_comes_back', 'flush_and_fua',
          'write_zeroes_and_discard_free_blocks_unless_told_not_to',
          'take_over_fences_the_old_owner', 'read_only_is_read_only',
          'verifiers', 'cache_none_works_at_any_alignment',
          'sigterm_answers_what_was_asked')


def install_vxhsd(disk):
    for what, where in (('sysusers', '/etc/sysusers.d/vxhsd.conf'),
                        ('modules', '/etc/modules-load.d/vxhsd.conf')):
        with open(os.path.join(TOP, 'tools/vxhsd/vxhsd.' + what)) as file:
            write(where, file.read())
    sh(readme('systemd-sysusers'))
    # What systemd-modules-load.service does with it.
    sh('/lib/systemd/systemd-modules-load /etc/modules-load.d/vxhsd.conf')
    write(ETC + 'vxhsd.service', service())
    write(ETC + 'vxhsd.service.d/disk.conf', DROP_IN % disk)
    # There is no journal here.
    write(ETC + 'vxhsd.service.d/log.conf',
          '[Service]\nStandardError=append:%s\n' % LOG)
    write('/etc/vxhs/vxhsd.conf', CONFIG % disk)
    ca = Authority(tmpdir())
    server = ca.issue('storage1', dns='localhost', server=True)
    os.mkdir('/etc/vxhs/tls')
    sh('cp %s %s %s /etc/vxhs/tls/' % (server.cert, server.key, ca.cert))
    # Its other line is for what systemd does in this test.
    sh(''.join(line for line in readme('chgrp vxhsd').splitlines(True)
               if 'systemctl' not in line))
    return ca


def tests_in_the_sandbox():
    """The tests themselves as a service of the same options."""
    here = '/srv/vxhs-tests'
    shutil.copytree(os.path.join(TOP, 'tests', 'lib'), here + '/lib')
    shutil.copytree(os.path.join(TOP, 'tests', 'functional'),
                    here + '/functional')
    unit = re.sub('^(Type|NotifyAccess|Exec.*|Restart|TimeoutStopSec)=.*\n', '',
                  service(), flags=re.M)
    return unit.replace('[Service]\n', '''[Service]
Type=oneshot
Environment=VXHSD=/usr/local/sbin/vxhsd TEST_PREFIX=vm_systemd.sandbox
StandardOutput=append:/run/vxhs-test-sandbox.log
StandardError=append:/run/vxhs-test-sandbox.log
ExecStart=%s %s %s
''' % (shutil.which('python3'), here + '/functional/host_native.py',
       ' '.join(INSIDE)))


def status_of(pid):
    with open('/proc/%d/status' % pid) as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file)


def pid_of_vxhsd():
    return int(sh('pgrep -x vxhsd').split()[0])


@test
def vxhsd_in_its_sandbox():
    disk = '/dev/loop7'
    sh('modprobe loop; truncate -s 16M /run/disk.img; '
       'losetup %s /run/disk.img' % disk)
    ca = install_vxhsd(disk)
    cert = ca.issue('client', cn='client')
    context = ssl.create_default_context(cafile=ca.cert)
    context.load_cert_chain(cert.cert, cert.key)

    def client(name):
        sock = vxhs.connect('127.0.0.1', PORT)
        c = vxhs.NativeClient('127.0.0.1', PORT, name, kato=20000,
                              sock=context.wrap_socket(
                                  sock, server_hostname='localhost'))
        status, g = c.open(name)
        equal(status, vxhs.OK, name)
        return c, g

    write(ETC + 'vxhs-test.target', TARGET)
    write(ETC + 'vxhs-test-sandbox.service', tests_in_the_sandbox())
    only(('vxhsd.service', 'vxhs-test.target'))
    systemd = Systemd(tmpdir() + '/log')
    try:
        eventually(lambda: systemd.has('vxhsd.service'),
                   lambda: 'it does not start: ' + sh('cat ' + LOG), 120)
        status = status_of(pid_of_vxhsd())
        uid = str(pwd.getpwnam('vxhsd').pw_uid)
        equal(status['Uid'].split(), [uid] * 4, 'its user')
        for key in ('CapPrm', 'CapEff', 'CapBnd', 'CapInh', 'CapAmb'):
            equal(int(status[key], 16), 0, key)
        equal((status['NoNewPrivs'], status['Seccomp']), ('1', '2'))
        data = os.urandom(65536)
        for name in ('file', 'disk'):
            c, g = client(name)
            equal(c.write(g.handle, 4096, data), vxhs.OK, name)
            equal(c.call(vxhs.FLUSH, handle=g.handle)[0].status, vxhs.OK, name)
            equal(c.logout(), vxhs.OK, name)
        # What SIGHUP brings is opened by who has no privilege any more.
        with open('/etc/vxhs/vxhsd.conf', 'a') as file:
            file.write('[export late]\ntarget = /srv/vxhs/late.img\n'
                       'size = 1M\nallow = *:rw\n')
        equal(systemd.ctl('reload', 'vxhsd').returncode, 0, 'reload')

        def late():
            try:
                return client('late')[0].logout() == vxhs.OK
            except AssertionError:
                return False
        eventually(late, 'what SIGHUP has brought is not there')
        before = pid_of_vxhsd()
        equal(systemd.ctl('restart', 'vxhsd').returncode, 0, 'restart')
        check(pid_of_vxhsd() != before, 'it was not restarted')
        for name in ('file', 'disk'):
            c, g = client(name)
            equal(c.read(g.handle, 4096, len(data)), (vxhs.OK, data), name)
            equal(c.logout(), vxhs.OK, name)
        with open('/var/log/vxhs/audit.json') as file:
            check('"identity": "client"' in file.read(), 'no audit')
        with open(LOG) as file:
            check('not restricted' not in file.read(), 'it has no filter')
        done = systemd.ctl('start', 'vxhs-test-sandbox').returncode
        with open('/run/vxhs-test-sandbox.log') as file:
            said = file.read()
        print(said, end='')
        equal(done, 0, 'the tests in the sandbox')
        equal(len(re.findall('^ok ', said, re.M)), len(INSIDE), 'tests run')
        denied = [line for line in sh('dmesg').splitlines()
                  if 'type=1326' in line and 'vxhsd' in line]
        equal(denied, [], 'system calls that are not on its list')
    finally:
        systemd.power_off()
        sh('losetup -d ' + disk)


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
