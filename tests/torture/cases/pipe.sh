# SPDX-License-Identifier: Apache-2.0
# A reader that waits for the end of a pipe gets it when the writer ends, not when some agent does.
start=$(date +%s%N)
"$TORTURE_PROGRAMS/torture_process" exits_at_once | cat
text=$("$TORTURE_PROGRAMS/torture_process" exits_orderly)
echo "$text"
took=$((($(date +%s%N) - start) / 1000000))
((took < 5000)) && echo "promptly" || echo "after $took ms"
