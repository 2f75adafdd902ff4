# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the runners of the VM and of user-mode Linux share: a control folder that
# the guest sees too ($ctl), COMMAND in it, its output copied out as it comes,
# its exit status brought back.  The guest's half is tests/lib/guest-init.sh.

PATH=$PATH:/usr/sbin:/sbin	# where a user finds depmod and modprobe
me=$(basename "$(dirname "$(readlink -f "$0")")")/run
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vxhs
# Used by who sources this.
# shellcheck disable=SC2034
build_lock=$top/build/.lock
guest='' tails=()
# COMMAND is to take the machine down, after it has made the file "down" in the
# control folder.
guest_goes_down=0

die() { echo "tests/$me: $*" >&2; exit 125; }

number() { # NUMBER...
	local n
	for n in "$@"; do
		[[ $n =~ ^[1-9][0-9]*$ ]] || die "'$n' is not a positive number"
	done
}

# shellcheck disable=SC2317 # called by a trap
guest_cleanup() {
	[ -z "$guest" ] || kill -KILL -- "-$guest" 2>/dev/null
	[ ${#tails[@]} = 0 ] || kill "${tails[@]}" 2>/dev/null
	rm -rf "$ctl"
}

guest_prepare() { # COMMAND...
	mkdir -p "$cache" "$top/build"
	ctl=$(mktemp -d "${TMPDIR:-/tmp}/vxhs-guest.XXXXXX") ||
		die "cannot make a temporary folder"
	trap guest_cleanup EXIT
	trap 'exit 125' INT TERM HUP
	: >"$ctl/out"
	: >"$ctl/err"
	printf '%s\0' "$@" >"$ctl/argv"
	printf '%s' "$top" >"$ctl/tree"
}

# Starts the machine in a process group of its own, whose end comes with ours.
guest_start() { # FILE FOR ITS OUTPUT, MACHINE...
	machine_out=$1
	shift
	setsid setpriv --pdeathsig KILL "$@" </dev/null >"$machine_out" 2>&1 &
	guest=$!
	tail -c +1 -f -s 0.05 --pid="$guest" "$ctl/out" &
	tails=($!)
	tail -c +1 -f -s 0.05 --pid="$guest" "$ctl/err" >&2 &
	tails+=($!)
}

# The guest writes its status last, and what it wrote before is then here, so
# the machine can be stopped at once.  Returns only if the machine ended before
# COMMAND was started: then it may be tried again.
guest_finish() { # TIMEOUT, KERNEL LOG
	local never status=125 reason="the guest died"
	exec {never}<> <(:)
	SECONDS=0
	while kill -0 "$guest" 2>/dev/null && [ ! -e "$ctl/status" ]; do
		if [ "$SECONDS" -ge "$1" ]; then
			status=124 reason="time-out after $1 s"
			break
		fi
		read -r -t 0.1 -u "$never"
	done
	kill -KILL -- "-$guest" 2>/dev/null
	wait "$guest" 2>/dev/null
	guest=''
	wait "${tails[@]}"
	tails=()
	[ "$guest_goes_down" = 0 ] || [ $status = 124 ] || guest_is_down "$2"
	[ ! -e "$ctl/status" ] || exit "$(<"$ctl/status")"
	[ $status = 124 ] || [ -e "$ctl/started" ] || return 0
	guest_failed "$reason" "$2"
	exit $status
}

# Exits with 0 if it went down in an orderly way, and when COMMAND said so;
# returns if it ended before COMMAND was started.
guest_is_down() { # KERNEL LOG
	local ended
	if [ -e "$ctl/status" ]; then
		guest_failed "COMMAND ended, and was to take the VM down" "$1"
		ended=$(<"$ctl/status")
		exit $((ended ? ended : 1))
	fi
	[ -e "$ctl/started" ] || return 0
	if [ -e "$ctl/down" ] &&
		grep -aqE 'reboot: (Power down|Restarting)' "$1"; then
		exit 0
	fi
	guest_failed "the VM went down otherwise than it should" "$1"
	exit 1
}

guest_failed() { # REASON, KERNEL LOG
	{
		echo "tests/$me: $1"
		[ "$2" = "$machine_out" ] || cat "$machine_out"
		echo "--- the end of its console:"
		tail -n 60 "$2" | tr -d '\r'
	} >&2
}
