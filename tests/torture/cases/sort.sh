# SPDX-License-Identifier: Apache-2.0
# coreutils' sort has a SIGPROF handler of its own; tar, gzip, awk, sed and the shell beside it.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
awk 'BEGIN { srand(1); for (i = 0; i < 300000; i++) print int(rand() * 1e9), i }' >"$dir/input"
sort --parallel=4 -S 20M -T "$dir" "$dir/input" | cksum
sort -k2n -T "$dir" "$dir/input" | sed 's/1/one/g' | gzip -n | gzip -d | cksum
sort -R --random-source="$dir/input" -T "$dir" "$dir/input" | head -n 100000 | cksum
sort -S 1M -T "$dir" < <(cat "$dir/input"; sleep 3) >/dev/null &
sort_pid=$!
sleep 2 # it has read all and waits for more
ls "$dir" | wc -l
{ kill -PROF $sort_pid; wait $sort_pid; } 2>/dev/null
echo "killed sort: $?"
ls "$dir" # its handler has removed its files
for i in 1 2 3 4 5 6 7 8 9 10; do (echo $i; exit $i); done | cksum
tar cf - "$dir" 2>/dev/null | wc -c
