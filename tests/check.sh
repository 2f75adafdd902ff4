#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# check.sh [build|unit|uml|vm]...: the project's tests, all parts by default.
# Each step is a line; a step's own tests ("ok NAME", "not ok NAME" lines in its
# output) are counted with it.  Logs are in build/check.  The last line is
# "N passed, N failed", and the exit status says whether nothing failed.
set -u
top=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd -P)
cd "$top" || exit 1
PATH=$PATH:/usr/sbin:/sbin	# where a user finds depmod and modprobe
out=$top/build/check
parts=("$@")
[ $# -gt 0 ] || parts=(build unit uml vm)

export PYTHONDONTWRITEBYTECODE=1
"$top/tests/lib/setup.sh" check || exit 1
rm -rf "$out"
mkdir -p "$out"
# step NAME TIMEOUT COMMAND...: a test is a line of the output; one that is
# skipped has not passed.
step() {
	local name=$1 limit=$2 log=$out/$1.log start=$SECONDS pid status passed failed
	shift 2
	echo "... $name"
	: >"$log"
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null &
	pid=$!
	tail -c +1 -f -s 0.2 --pid=$pid "$log" |
		grep --line-buffered -aE '^(not )?ok ' | sed -u "s/^/    /"
	wait $pid
	status=$?
	passed=$(grep -aE '^ok ' "$log" | grep -aivcE '# *skip')
	failed=$(grep -acE '^not ok |^ok .*# *[sS][kK][iI][pP]' "$log")
	if [ "$status" = 0 ] && [ "$failed" = 0 ]; then
		echo "ok $name ($passed tests, $((SECONDS - start)) s)"
		passed=$((passed + 1))
	else
		[ "$status" != 124 ] || echo "    time-out after $limit s"
		echo "not ok $name (exit status $status, $failed tests failed, $((SECONDS - start)) s)"
		[ "$failed" != 0 ] || failed=1
		echo "--- from $log:"
		grep -aE -A 25 '^not ok ' "$log" | head -n 60
		tail -n 20 "$log"
		echo "---"
	fi
	echo "$passed $failed" >"$out/$name.count"
}

# What is checked without running it.
lint() { step "$1" 600 "$top/tests/lib/lint.sh" "$1"; }

part_build() {
	step tools 600 make -j"$(nproc)" tools asan unit-tests build/bench/floor \
		build/softktls.so build/empty_records fuzzers
	lint module
	lint checkpatch
	lint kernel-doc
	lint shellcheck
	lint spdx
	lint man
	lint rst
	lint proofs
	lint install
	lint units
	step netlink-check 300 make -s netlink-check
}

part_unit() {
	local test model
	# One process that only computes, beside those that mostly wait.
	step model 900 tests/model/check.sh &
	model=$!
	for test in build/asan/unit/*_test; do
		step "unit-$(basename "$test")" 300 \
			env CMOCKA_MESSAGE_OUTPUT=TAP "$test"
	done
	step fuzz 300 tests/fuzz/run.sh check
	for test in tests/functional/host_* tests/fault/host_*; do
		step "$(basename "${test%.*}")" 600 \
			env VXHSD="$top/build/asan/vxhsd" "$test"
	done
	wait $model
}

# machine NAME TIMEOUT RUNNER LOGVARIABLE ARGUMENTS...: a step in a guest, whose
# kernel must not have complained.
machine() {
	local name=$1 limit=$2 runner=$3 klog=$out/$1.kernel
	shift 3
	step "$name" $((limit + 30)) env VXHS_VM_BUILD=0 VXHS_UML_BUILD=0 \
		VXHS_VM_LOG="$klog" VXHS_UML_LOG="$klog" \
		"$top/tests/$runner/run" --timeout "$limit" "$@"
	step "$name-kernel" 60 "$top/tests/lib/klog-check.sh" "$klog"
}

# What is run in a guest, a line each.
guests_uml() {
	local test
	echo machine kunit 300 uml -- tests/uml/kunit.sh
	for test in tests/functional/uml_*; do
		[ ! -x "$test" ] ||
			echo machine "$(basename "${test%.*}")" 1200 uml -- \
				tests/uml/leak-check.sh "$test"
	done
}

guests_vm() {
	local test name n options
	echo step demo 900 make -s demo
	for test in tests/functional/vm_*; do
		[ -x "$test" ] || continue
		name=$(basename "${test%.*}")
		# A script may say how it wants to be run, once or several
		# times: "# vm-run: OPTIONS OF tests/vm/run -- env NAME=VALUE".
		n=1
		while read -r _ _ options; do
			echo machine "$name" 1200 vm "$options" "$test"
			n=$((n + 1))
			name=$(basename "${test%.*}")-$n
		done < <(grep -a '^# vm-run: ' "$test" || echo '# vm-run: --')
	done
}

part_uml() {
	step uml-kernel 3000 tests/uml/build.sh >&3
	step uml-module 600 flock build/.lock make tools fuzzers uml-module >&3
	guests_uml
}

part_vm() {
	step vm-module 600 flock build/.lock make tools vm-module >&3
	guests_vm
}

SECONDS=0
for part in build unit; do
	case " ${parts[*]} " in *" $part "*) "part_$part" ;; esac
done
# Guests wait more than they compute: two at a time, those whose module is built.
export top out
export -f step machine
exec 3>&1
for part in uml vm; do
	case " ${parts[*]} " in *" $part "*) "part_$part" & ;; esac
done | xargs -r -P 2 -L 1 bash -c '"$@"' check >&3

passed=0 failed=0
for count in "$out"/*.count; do
	read -r p f <"$count"
	passed=$((passed + p)) failed=$((failed + f))
done
for count in "$out"/*.count; do
	read -r p f <"$count"
	[ "$f" = 0 ] || echo "failed: $(basename "${count%.count}"), see ${count%.count}.log"
done
echo "All of it took $SECONDS s."
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
