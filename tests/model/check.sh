#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# check.sh [NAME]...: has spin look at every state of recovery.pml, in each of
# the configurations below, or in those that are named.
#
# A line "check" must have no error.  A line "finds" takes a step of the
# protocol away (BUG_...): spin must find an error, and the one that is named,
# else what that step protects is not checked at all.
set -u
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd -P)
out=$top/build/model
model=$top/tests/model/recovery.pml
wanted=("$@")
failed=0
mkdir -p "$out" || exit 1

# How the properties look in what the verifier prints.
declare -A looks=(
	[lost]='assertion violated .*landed&.*number'
	[older]='assertion violated .*landed&.*before'
	[revoked]='assertion violated .*taken'
	[unflushed]='assertion violated .*promised'
	[twice]='assertion violated .*req\[a\]==.*rconn'
	[forgotten]='assertion violated .*submitted-written'
	[for_nothing]='assertion violated .*owner'
	[no_end]='acceptance cycle'
)

# verify NAME DEFINES...: what the verifier says is in NAME.log
verify() {
	local name=$1 cflags=(-w -DMEMLIM=2000 -DVECTORSZ=2048) args=(-m20000)
	shift
	case " $* " in
	*' -DLIVENESS '*) cflags+=(-DNFAIR=4) args+=(-a -f) ;;
	*) cflags+=(-DSAFETY) ;;
	esac
	# An error is found sooner than an optimised verifier is made.
	case $name in
	BUG_*) cflags+=(-O0) ;;
	*) cflags+=(-O2) ;;
	esac
	rm -rf "${out:?}/$name" && mkdir -p "$out/$name" && (
		cd "$out/$name" &&
		spin "$@" -a "$model" &&
		${CC:-cc} "${cflags[@]}" -o pan pan.c &&
		./pan "${args[@]}"
	) >"$out/$name.log" 2>&1
}

is_wanted() {
	[ ${#wanted[@]} = 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]
}

not_ok() {
	local name=$1 why=$2
	shift 2
	echo "not ok model.$name - $why, see $out/$name.log"
	if [ -e "$out/$name/recovery.pml.trail" ]; then
		echo "the steps: cd $out/$name && spin $* -t" \
			"-k recovery.pml.trail -p $model"
	fi
	failed=1
}

# check NAME DEFINES...: no error in any state
check() {
	local name=$1 states
	shift
	is_wanted "$name" || return 0
	verify "$name" "$@"
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$out/$name.log")
	if grep -qE 'max search depth too small|reached -DMEMLIM' "$out/$name.log"; then
		not_ok "$name" "not all states were looked at" "$@"
	elif grep -q 'errors: 0$' "$out/$name.log"; then
		echo "ok model.$name ($states states)"
		rm -rf "${out:?}/$name"
	else
		not_ok "$name" "an error" "$@"
	fi
}

# finds BUG PROPERTY DEFINES...: without that step this property is violated
finds() {
	local name=$1 property=$2
	shift 2
	is_wanted "$name" || return 0
	verify "$name" "-D$name" "$@"
	if grep -qE "${looks[$property]}" "$out/$name.log"; then
		echo "ok model.$name (finds: $property)"
		rm -rf "${out:?}/$name"
	else
		not_ok "$name" "spin does not find: $property" "-D$name" "$@"
	fi
}

# Two servers on one storage that write through, one host.
pair=(-DFAULTS=3)
# Two lanes with a request each.
lanes=(-DLANES=2 -DSLOTS=2 -DFAULTS=1)
# A second host takes the vdisk over.
hosts=(-DHOSTS=2 -DFAULTS=1)
# One server with a cache; a flusher beside the writer.
cache=(-DSERVERS=1 -DSLOTS=2 -DFLUSHES=2 -DCACHING)
# Shared by two hosts (multipath): what was failed is written on the other way.
fail=(-DSERVERS=1 -DHOSTS=2 -DSHARED -DFAST_FAIL -DWRITES=1)
live=(-DLIVENESS -DPARTITIONS)

check pair "${pair[@]}"
check lanes "${lanes[@]}" -DWRITES=3
check lanes_lost_twice "${lanes[@]}" -UFAULTS -DFAULTS=2 -DSERVERS=1
check take_over "${hosts[@]}"
check take_over_two_faults "${hosts[@]}" -UFAULTS -DFAULTS=2 -DSERVERS=1 -DWRITES=1
check cache "${cache[@]}"
check fast_fail "${fail[@]}"
check recovery_ends "${live[@]}"
check recovery_ends_with_lanes "${live[@]}" -DLANES=2 -DFAULTS=1
check recovery_ends_with_two_hosts -DLIVENESS "${hosts[@]}" -DWRITES=1

# Fence.
finds BUG_OLD_EPOCH older		# LOGIN does not make older frames STALE
finds BUG_NO_DRAIN older		# OPEN does not wait for older I/O
finds BUG_NO_OPEN older "${lanes[@]}"	# a lane is used again before OPEN
finds BUG_SIBLING older "${lanes[@]}"	# a request moves to another lane, unfenced
# The host.
finds BUG_NO_ABORT twice		# parked before the lane's receiver stops
finds BUG_FORGET forgotten		# a lane's requests are not all parked
finds BUG_STAYS no_end "${hosts[@]}" -DWRITES=1 -DLIVENESS # AGAIN: no other portal
# Two servers.
finds BUG_LOCK_FREED older		# the lock goes before the I/O has ended
finds BUG_LOCK_KEPT no_end "${live[@]}"	# the holder keeps it without a lane
# Leases.
finds BUG_STALE_LEASE revoked "${hosts[@]}"	# OPEN with an old lease works
finds BUG_NOT_REVOKED revoked "${hosts[@]}"	# the old owner's handles work
finds BUG_OWNER_FORGOTTEN for_nothing	# a session takes over from itself
# The cache.
finds BUG_SAME_VERIFIER unflushed "${cache[@]}"	# the verifier does not change
finds BUG_VERIFIER_IGNORED unflushed "${cache[@]}"	# the host does not look at it
finds BUG_FLUSH_COVERS_ALL unflushed "${cache[@]}"	# it forgets what FLUSH is not for
# Failing by policy.
finds BUG_FAILS_EARLY older "${fail[@]}"	# before the server has fenced
finds BUG_FENCED_ONLY older "${fail[@]}"	# before its I/O has ended

exit $failed
