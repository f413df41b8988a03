# SPDX-License-Identifier: Apache-2.0
# Almost no environment.
[[ ${LD_PRELOAD:-} ]] && set -- LD_PRELOAD="$LD_PRELOAD"
env -i "$@" DEEPPROF_OUTPUT=/dev/null/x.pb.gz "$TORTURE_PROGRAMS/torture_self" kept_errno
env -i "$@" DEEPPROF_OUTPUT=/dev/null/x.html "$TORTURE_PROGRAMS/torture_process" fork_storm
