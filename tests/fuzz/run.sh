#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# run.sh check|MINUTES: the libFuzzer targets, which have been built.
#
# check: what was found before, by name; the corpus; 20 s of chance each.
# MINUTES: so long each, at the same time, with the corpus in build/fuzz/work
# growing; then figures.  A finding ends its target, and is kept there.
set -u
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd -P)
cd "$top" || exit 1
here=tests/fuzz
out=build/fuzz
work=$out/work
targets=(wire conn)
declare -A max_len=([wire]=400 [conn]=2048)
export ASAN_OPTIONS=quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1
status=0

say() {		# say STATUS NAME LOG
	if [ "$1" = 0 ]; then
		echo "ok fuzz.$2"
		return
	fi
	echo "not ok fuzz.$2 - $(grep -am1 -E 'SUMMARY|ERROR' "$3" ||
		echo "see $3")"
	tail -n 40 "$3"
	status=1
}

# fuzz TARGET SECONDS LOG: with chance, from the corpus on.
fuzz() {
	local dir=$work/$1
	mkdir -p "$dir"
	"$out/$1_fuzz" -max_len="${max_len[$1]}" -max_total_time="$2" \
		-timeout=25 -print_final_stats=1 -artifact_prefix="$dir-" \
		"$dir" "$here/corpus/$1" >"$3" 2>&1
}

check() {
	local target file log
	for target in "${targets[@]}"; do
		for file in "$here/regressions/$target"/*; do
			[ -e "$file" ] || continue
			log=$work/$target.$(basename "$file").log
			"$out/${target}_fuzz" "$file" >"$log" 2>&1
			say $? "$target.$(basename "$file")" "$log"
		done
		log=$work/$target.corpus.log
		"$out/${target}_fuzz" -runs=0 "$here/corpus/$target" \
			>"$log" 2>&1
		say $? "$target.corpus" "$log"
	done
	for target in "${targets[@]}"; do
		log=$work/$target.log
		fuzz "$target" 20 "$log"
		say $? "$target.chance" "$log"
		grep -aE 'INFO: Seed' "$log"
		grep -aE 'stat::(number|average)' "$log"
	done
}

value() { sed -n "s/^stat::$1: *//p" "$2"; }

# Lines of the product's files that the corpus reaches.
coverage() {
	local target=$1 profile=$work/$1.profile
	LLVM_PROFILE_FILE=$profile.raw "$out/${target}_cov" -runs=0 \
		"$work/$target" "$here/corpus/$target" >/dev/null 2>&1
	llvm-profdata merge -o "$profile" "$profile.raw"
	llvm-cov report "$out/${target}_cov" -instr-profile="$profile" \
		>"$work/$target.coverage"
	awk '$1 ~ /\.c$/ && $1 !~ /^tests|fuzz\.c$|sim\.c$/ && $9 < $8 {
		lines += $8; missed += $9 }
	     END { printf "%.1f %% of %d lines in files that it enters\n",
			  100 * (lines - missed) / lines, lines }' \
		"$work/$target.coverage"
}

long() {
	local target pids=()
	for target in "${targets[@]}"; do
		fuzz "$target" $(($1 * 60)) "$work/$target.log" &
		pids+=($!)
	done
	for target in "${targets[@]}"; do
		wait "${pids[0]}"
		say $? "$target.chance" "$work/$target.log"
		pids=("${pids[@]:1}")
	done
	for target in "${targets[@]}"; do
		local log=$work/$target.log
		echo "$target: $(value number_of_executed_units "$log") runs," \
			"$(value average_exec_per_sec "$log") a second," \
			"$(grep -aoE 'cov: [0-9]+' "$log" | tail -n 1 |
				cut -d' ' -f2) edges," \
			"$(coverage "$target")," \
			"$(find "$work" -maxdepth 1 \
				-name "$target-*" | wc -l) findings"
	done
}

mkdir -p "$work"
case ${1:-} in
check) check ;;
[1-9]*) long "$1" ;;
*) echo "usage: $0 check|MINUTES" >&2; exit 2 ;;
esac
exit $status
