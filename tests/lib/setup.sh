#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# setup.sh [build|vm|check|bench|all]...: installs those of Debian's packages that
# are missing.  Says nothing, and needs no privilege, if none is.
set -euo pipefail

build=(build-essential libmnl-dev libjson-c-dev liburing-dev libinih-dev
	libisal-dev libgnutls28-dev libseccomp-dev)
# Linux 6.12 is Debian 13's own, and for Debian 12 there is one beside it.
kernel=6.12-amd64
! grep -qs '^VERSION_CODENAME=trixie' /etc/os-release || kernel=amd64
vm=("${build[@]}" "linux-image-$kernel" "linux-headers-$kernel" kmod bc
	bison flex libelf-dev pahole cpio xz-utils zstd busybox-static
	qemu-system-x86 qemu-utils seabios udev util-linux mount procps
	iproute2 dmsetup fio e2fsprogs xfsprogs python3)
check=("${vm[@]}" linux-source-6.12 sparse shellcheck libcmocka-dev perl
	libssl-dev python3-yaml python3-jsonschema git ca-certificates
	nbdkit nbd-client nftables man-db spin mdadm systemd python3-docutils
	gnutls-bin clang llvm libclang-rt-dev)
bench=("${vm[@]}" nbdkit nbd-client nvme-cli nftables ethtool gnuplot-nox
	linux-perf)

wanted=()
for set in "${@:-all}"; do
	case $set in
	build) wanted+=("${build[@]}") ;;
	vm) wanted+=("${vm[@]}") ;;
	check) wanted+=("${check[@]}") ;;
	bench) wanted+=("${bench[@]}") ;;
	all) wanted+=("${check[@]}" "${bench[@]}") ;;
	*) echo "usage: $0 [build|vm|check|bench|all]..." >&2; exit 2 ;;
	esac
done

command -v dpkg-query >/dev/null || {
	echo "This is not Debian. Install what corresponds to: ${wanted[*]}" >&2
	exit 1
}
installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null |
	sed -n 's/^ii  *//p' | sort -u)
missing=$(printf '%s\n' "${wanted[@]}" | sort -u |
	comm -23 - <(printf '%s\n' "$installed"))
[ -n "$missing" ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "These packages are missing, and there is neither root" \
			"nor sudo to install them: ${missing//$'\n'/ }" >&2
		exit 1
	}
	as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		echo "apt-get $1 failed" >&2
		exit 1
	}
}
echo "Installing Debian packages: ${missing//$'\n'/ }"
apt update
# shellcheck disable=SC2086
apt install --no-install-recommends $missing
echo "Installed."
