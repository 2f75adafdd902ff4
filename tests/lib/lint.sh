#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lint.sh NAME: one of the checks below, of the whole tree; silent if all is well.
set -euo pipefail
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd -P)
cd "$top"

# The project's files, also those that are not committed yet.
files() {
	local file
	if [ -e .git ]; then
		git ls-files -co --exclude-standard
	else
		find . -type f ! -path './build/*' ! -name '*.pyc' -printf '%P\n'
	fi | while IFS= read -r file; do
		[ ! -f "$file" ] || printf '%s\n' "$file"
	done
}

kernel_files() {
	files | grep -E '^(drivers/vxhs/.*\.[ch]|include/uapi/.*\.h)$' |
		grep -vE '(^include/uapi/linux/vxhs\.h|/netlink_gen\.[ch])$'
}

kernel_source() { tests/uml/build.sh --source; }

# All of the module with the compiler's further warnings and with sparse.
lint_module() {
	local kdir
	kdir=/lib/modules/$(tests/vm/kernel)/build
	rm -rf build/lint
	tests/lib/farm.sh build/lint
	make -C "$kdir" M="$top/build/lint" CONFIG_BLK_DEV_VXHS=m W=1 \
		KCFLAGS=-Werror C=2 CF=-Wsparse-error modules >build/lint/log 2>&1 ||
		{ cat build/lint/log; return 1; }
	! grep -E 'warning:|error:' build/lint/log
}

lint_checkpatch() {
	local src
	src=$(kernel_source)
	kernel_files | grep -v '/trace\.h$' |
		xargs perl "$src/scripts/checkpatch.pl" --strict --no-tree \
			--quiet --no-summary --terse -f &&
	# It knows the layout of TRACE_EVENT() only by the file's place in a tree.
	perl "$src/scripts/checkpatch.pl" --strict --no-tree --quiet --no-summary \
		--terse --ignore PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE \
		-f drivers/vxhs/trace.h
}

lint_kernel-doc() {
	local src
	src=$(kernel_source)
	kernel_files | xargs perl "$src/scripts/kernel-doc" -none -Wall -Werror
}

lint_shellcheck() {
	files | while IFS= read -r file; do
		if head -n 1 "$file" | grep -qaE '^#!.*[ /](ba|da)?sh( |$)' ||
			head -n 3 "$file" | grep -qa '^# shellcheck shell='; then
			printf '%s\0' "$file"
		fi
	done | xargs -0 shellcheck -x
}

lint_spdx() {
	local bad
	bad=$(files | grep -vxE 'LICENSE|tests/fuzz/(corpus|regressions)/.*' |
		while IFS= read -r file; do
		[ ! -s "$file" ] || head -n 5 "$file" |
			grep -qa 'SPDX-License-Identifier: ' || echo "$file"
	done)
	[ -z "$bad" ] || { echo "without an SPDX line:"; echo "$bad"; return 1; }
}

lint_man() {
	local page said status=0
	for page in Documentation/man/*.8; do
		said=$(MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z \
			"$page" 2>&1 >/dev/null) || status=1
		[ -z "$said" ] || { echo "$page: $said"; status=1; }
	done
	return $status
}

lint_rst() {
	local page status=0
	while IFS= read -r page; do
		rst2html --halt=2 "$page" >/dev/null || status=1
	done < <(files | grep '\.rst$')
	return $status
}

# Is it a test, and not just some function of that name?  SCRIPT NAME
is_test() {
	case $1 in
	*_test)
		grep -qsE "^[[:space:]]*cmocka_unit_test(_setup_teardown)?\($2[,)]" \
			"tests/unit/$1.c" ;;
	*)
		# By itself, or made by a function of the script.
		grep -qsPzo "\n *@(test|not_in_uml)\n *def $2\(" \
			"tests/functional/$1.py" ||
			grep -qsE "^ *add(_[a-z]+)?\('$2'," "tests/functional/$1.py" ;;
	esac
}

# The tests, and the files, that the threat model calls proofs are there.
# shellcheck disable=SC2016 # backticks are what is looked for
lint_proofs() {
	local page=Documentation/threats.rst proof found=0 status=0
	while IFS= read -r proof; do
		found=$((found + 1))
		is_test "${proof%%: *}" "${proof#*: }" ||
			{ echo "no such test: $proof"; status=1; }
	done < <(grep -ohE '``[a-z0-9_-]+: [a-z0-9_]+``' $page | tr -d '`' | sort -u)
	[ $found != 0 ] || { echo "no proofs in $page"; status=1; }
	while IFS= read -r proof; do
		[ -e "$proof" ] || { echo "no such file: $proof"; status=1; }
	done < <(grep -ohE '``tests/[^`]*``' $page | tr -d '`' | sort -u)
	return $status
}

# install puts things where they are looked for, uninstall leaves nothing.
lint_install() {
	local root left
	root=$(mktemp -d)
	# shellcheck disable=SC2064
	trap "rm -rf '$root'" EXIT
	make -s install modules_install DESTDIR="$root" PREFIX=/usr \
		KDIR="/lib/modules/$(tests/vm/kernel)/build" >/dev/null
	for file in sbin/vxhsctl sbin/vxhsd share/man/man8/vxhsctl.8 \
		share/man/man8/vxhsd.8 lib/udev/rules.d/60-vxhs.rules \
		share/bash-completion/completions/vxhsctl sbin/vxhs-handshake \
		share/man/man8/vxhs-handshake.8 \
		lib/systemd/system/vxhs-handshake.service \
		share/doc/vxhs/examples/handshake.conf \
		lib/systemd/system/vxhsd.service lib/sysusers.d/vxhsd.conf \
		lib/modules-load.d/vxhsd.conf; do
		[ -s "$root/usr/$file" ] || { echo "not installed: $file"; return 1; }
	done
	left=$(find "$root" -name vxhs.ko)
	[ -n "$left" ] || { echo "not installed: vxhs.ko"; return 1; }
	make -s uninstall DESTDIR="$root" PREFIX=/usr
	left=$(find "$root" -type f)
	[ -z "$left" ] || { echo "uninstall left: $left"; return 1; }
}

# What systemd thinks of how much a service is locked up, times 10: 0 is best.
lint_units() {
	local dir unit said
	dir=$(mktemp -d)
	# shellcheck disable=SC2064
	trap "rm -rf '$dir'" EXIT
	for unit in vxhsd:15 vxhs-handshake:30; do
		sed 's|^ExecStart=.*|ExecStart=/bin/true|' \
			"tools/${unit%:*}/${unit%:*}.service" >"$dir/${unit%:*}.service"
		said=$(systemd-analyze security --no-pager --offline=yes \
			--threshold="${unit#*:}" "$dir/${unit%:*}.service" 2>&1) ||
			{ echo "$said"; return 1; }
	done
}

"lint_$1"
