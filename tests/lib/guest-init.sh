# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The guest's half of tests/lib/guest.sh, sourced by process 1.  It starts with
# the control folder mounted on /sys/ctl, and the host's root on /.
ctl=/run/vxhs-guest
tree=$(</sys/ctl/tree)

mnt() { busybox mount "$@"; }

guest_mounts() {
	local dir
	# The tree may lie in a folder that is about to be covered.
	mkdir /sys/tree
	mnt -o bind "$tree" /sys/tree
	mnt -t tmpfs -o mode=755 tmpfs /run
	mnt -t tmpfs -o mode=1777 tmpfs /tmp
	mnt -t devtmpfs -o mode=755 devtmpfs /dev
	mkdir -p /dev/pts /dev/shm /run/lock $ctl
	mnt -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
	mnt -t tmpfs -o mode=1777 tmpfs /dev/shm
	if [ ! -e "$tree/tests/lib/guest-init.sh" ]; then
		mkdir -p "$tree"
		mnt -o bind /sys/tree "$tree"
	fi
	umount /sys/tree
	mnt -o move /sys/ctl $ctl
	umount /sys
	mnt -t proc proc /proc
	mnt -t sysfs sysfs /sys
	# A kernel without one of these has no folder for it.
	[ ! -d /sys/fs/cgroup ] || mnt -t cgroup2 cgroup2 /sys/fs/cgroup
	for dir in debug tracing security; do
		[ ! -d /sys/kernel/$dir ] ||
			mnt -t "${dir/tracing/trace}fs" none /sys/kernel/$dir
	done
	ln -s /proc/self/fd /dev/fd
	ln -s /proc/self/fd/0 /dev/stdin
	ln -s /proc/self/fd/1 /dev/stdout
	ln -s /proc/self/fd/2 /dev/stderr
}

# Needs /etc and /usr/local/sbin to be writable.
guest_settings() { # HOSTNAME
	hostname "$1"
	rm -f /etc/hosts /etc/hostname
	echo "$1" >/etc/hostname
	printf '%s\n' "127.0.0.1 localhost $1" \
		'::1 localhost ip6-localhost' >/etc/hosts
	[ -s /etc/machine-id ] ||
		echo 7678687300000000000000000000766d >/etc/machine-id
	ip link set lo up
	cp "$tree/build/tools/vxhsctl" "$tree/build/tools/vxhsd" \
		"$tree/build/tools/vxhs-handshake" /usr/local/sbin/
	mkdir -p /run/udev/rules.d
	cp "$tree"/tools/udev/*.rules /run/udev/rules.d/ || :
	ulimit -Hn 1048576
}

# Runs COMMAND and writes its status.  Output goes through pipes, so that
# COMMAND may open /dev/stdout again, and from there into files of the host.
guest_command() {
	local argv relays status dir pid first
	mapfile -d '' -t argv <$ctl/argv
	mkfifo $ctl.out $ctl.err
	: >$ctl/started
	cat <$ctl.out >>$ctl/out &
	relays=($!)
	cat <$ctl.err >>$ctl/err &
	relays+=($!)
	(
		export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		export HOME=/root TERM=dumb LANG=C.UTF-8
		unset OLDPWD
		cd "$tree" || exit 125
		exec "${argv[@]}"
	) >$ctl.out 2>$ctl.err
	status=$?

	# What COMMAND left behind must not keep its output open.  Kernel
	# threads have no command line.
	for dir in /proc/[0-9]*; do
		pid=${dir#/proc/}
		case " 1 ${relays[*]} " in *" $pid "*) continue ;; esac
		IFS= read -r -n 1 first <"$dir/cmdline" || [ -n "$first" ] ||
			continue
		kill -KILL "$pid"
	done 2>/dev/null
	wait "${relays[@]}"

	echo "$status" >$ctl/status.new
	mv $ctl/status.new $ctl/status
}
