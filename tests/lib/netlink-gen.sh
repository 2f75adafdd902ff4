#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# netlink-gen.sh [--check]: makes the files of the control plane from
# Documentation/netlink/specs/vxhs.yaml with the kernel's own generator; with
# --check only tells which are stale, and fails then.
set -euo pipefail
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd -P)
src=$("$top/tests/uml/build.sh" --source)
spec=Documentation/netlink/specs/vxhs.yaml

# The generator looks for a MAINTAINERS file above the spec, and for ever if
# there is none; and for genetlink.yaml beside the specs.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/Documentation/netlink/specs"
touch "$dir/MAINTAINERS"
cp "$src/Documentation/netlink/genetlink.yaml" "$dir/Documentation/netlink/"
cp "$top/$spec" "$dir/$spec"

status=0
while read -r mode kind file; do
	out=$dir/${file##*/}
	(cd "$dir" && timeout 60 python3 "$src/tools/net/ynl/ynl-gen-c.py" \
		--mode "$mode" "--$kind" --spec $spec -o "$out")
	cmp -s "$out" "$top/$file" && continue
	if [ "${1:-}" = --check ]; then
		echo "$file is stale: run 'make netlink-gen'"
		status=1
	else
		cp "$out" "$top/$file"
		echo "renewed $file"
	fi
done <<'LIST'
uapi header include/uapi/linux/vxhs.h
kernel header drivers/vxhs/netlink_gen.h
kernel source drivers/vxhs/netlink_gen.c
LIST
exit $status
