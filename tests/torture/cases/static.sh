# SPDX-License-Identifier: Apache-2.0
# Children that cannot, or need not, load the library.
for kind in static musl musl_static; do
	[[ -x $TORTURE_PROGRAMS/child_$kind ]] || continue
	echo "$kind"
	{ "$TORTURE_PROGRAMS/child_$kind"; } 2>/dev/null # bash tells of the signal, with a pid
	echo "status $?"
done
