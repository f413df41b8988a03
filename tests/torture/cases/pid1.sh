# SPDX-License-Identifier: Apache-2.0
# PID 1 of a name space that waits for all its children; and one that is killed by the end of its own first process.
unshare -pf --mount-proc true 2>/dev/null || { echo "no pid name spaces here"; exit 77; }
exec unshare -pf --mount-proc "$TORTURE_PROGRAMS/torture_process" init
