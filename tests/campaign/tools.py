# SPDX-License-Identifier: Apache-2.0
"""Programs that do their work and end: text, archives, compilers, builds, databases in a file."""
import random

from program import Script, binary, words, write


def c_file(folder, functions=1500, seed=2):
    """C as a generator writes it: loops, switches, structs, calls back and forth."""
    chance = random.Random(seed)
    out = ["#include <stdint.h>", "#include <string.h>", "struct s { int a[8]; double d; struct s *next; };"]
    for i in range(functions):
        callee = chance.randrange(i) if i else 0
        cases = "".join(f" case {k}: r += p->a[{k % 8}] * {chance.randrange(1, 99)}; break;" for k in range(12))
        out.append(f"""int f{i}(struct s *p, int n) {{
	int r = n; uint64_t h = {chance.randrange(1 << 30)}u; char b[64];
	for (int i = 0; i < n; i++) {{ h = (h ^ (unsigned)p->a[i & 7]) * 1099511628211u; p->d += (double)h / (i + 1); }}
	switch (n % 13) {{{cases} default: memset(b, n, sizeof b); r ^= b[r & 63]; }}
	while (p->next && r > {chance.randrange(50)}) {{ p = p->next; r -= p->a[1] > r ? 3 : (int)(h & 7); }}
	return {f"r > 3 ? f{callee}(p, r & 15) : r" if i else "r"} + (int)h;
}}""")
    write(folder, "large.c", "\n".join(out) + "\n")


def cxx_file(folder, depth=220):
    types = ", ".join(f"tag<{i}>" for i in range(40))
    write(folder, "heavy.cpp", f"""#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>
template <int N> struct tag {{ static constexpr int value = N; int x = N; }};
template <int N> struct fib {{ static constexpr unsigned long long value = fib<N - 1>::value + fib<N - 2>::value; }};
template <> struct fib<0> {{ static constexpr unsigned long long value = 0; }};
template <> struct fib<1> {{ static constexpr unsigned long long value = 1; }};
template <class... T> struct all {{
	std::tuple<std::map<T, std::vector<std::string>>...> maps;
	std::variant<T...> one;
	int visit() {{ return std::visit([](auto &t) {{ return t.x; }}, one); }}
	template <class F> void each(F f) {{ std::apply([&](auto &...m) {{ (f(m), ...); }}, maps); }}
}};
template <int N> bool operator<(tag<N> a, tag<N> b) {{ return a.x < b.x; }}
int main(int argc, char **argv)
{{
	all<{types}> everything;
	everything.each([&](auto &map) {{ map[{{}}].push_back(argv[0]); }});
	std::regex word("([a-z]+)-([0-9]+)");
	std::unordered_map<std::string, std::function<int(int)>> table;
	table["sum"] = [&](int i) {{ return i + everything.visit(); }};
	std::stringstream text;
	text << fib<{depth}>::value << std::regex_replace(std::string("abc-12"), word, "$2-$1");
	return table["sum"](argc) + static_cast<int>(text.str().size());
}}
""")


def compile_many(script, count):
    """The same file under other macros, so that one run lasts."""
    return f"for i in $(seq {count}); do {script}; done"


def small_project(folder, modules=24):
    write(folder, "CMakeLists.txt", "cmake_minimum_required(VERSION 3.20)\nproject(small C CXX)\n"
          f"add_executable(small main.cpp {' '.join(f'm{i}.c' for i in range(modules))})\n")
    for i in range(modules):
        write(folder, f"m{i}.c", "#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n" + "".join(
            f"double m{i}_{k}(double x) {{ for (int i = 0; i < {k + 3}; i++) x = x * x / (i + {k + 1}.5) + {i}; return x; }}\n"
            for k in range(60)))
    write(folder, "main.cpp", "#include <iostream>\n#include <regex>\n" + "".join(
        f'extern "C" double m{i}_0(double);\n' for i in range(modules)) + "int main() { std::regex r(\"a+\"); double s = 0;\n" +
        "".join(f"s += m{i}_0({i});\n" for i in range(modules)) + "std::cout << (s > 0) << '\\n'; }\n")


def git_texts(folder):
    words(folder, lines=20000, seed=3)
    write(folder, "make.sh", """git init -q -b main repo
cd repo
git config user.name campaign; git config user.email campaign@example.org; git config gc.auto 0
for i in $(seq 120); do
	export GIT_AUTHOR_DATE="@$((1600000000 + i)) +0000" GIT_COMMITTER_DATE="@$((1600000000 + i)) +0000"
	for f in 1 2 3; do
		{ sed -n "$((i * 20)),$((i * 20 + 900 + f))p" ../../in/words; sed -n "$((i * f)),+2000p" ../../in/words; } >file$f
	done
	git add -A
	git commit -q -m "change $i"
done
""")


def perl_work(folder, lines=60000):
    words(folder, lines=lines)
    write(folder, "work.pl", r"""use strict; use warnings;
my (%count, %next);
for my $round (1 .. ($ARGV[0] || 4)) {
	open my $in, '<', '../in/words' or die;
	while (my $line = <$in>) {
		my @words = split /\s+/, $line;
		$count{$_}++ for @words;
		$next{$words[$_]}{$words[$_ + 1]}++ for 0 .. $#words - 1;
		$line =~ s/([aeiou])([^aeiou\s]+)/\U$2\E$1/g;
		$count{length $line}++ if $line =~ /^(?:[a-zA-Z]+\s){5,}.*?(\d{3})\1?\d*$/;
	}
}
my @top = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
printf "%s %d %s\n", $_, $count{$_}, join ',', (sort keys %{$next{$_} || {}})[0 .. 2] for grep { keys %{$next{$_} || {}} > 3 } @top[0 .. 20];
""")


def sqlite_work(folder, rows=300000):
    write(folder, "work.sql", f"""create table orders(id integer primary key, customer int, product int, amount real, note text);
insert into orders with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
	select i, (i * 7919) % 5000, (i * 104729) % 900, (i % 977) / 7.0, printf('note %d %x', i % 100, i * 2654435761) from n;
create index by_customer on orders(customer, amount);
select count(*), round(sum(amount), 3) from orders;
select customer, count(*), round(avg(amount), 4) a from orders group by customer order by a desc limit 5;
select a.product, count(distinct b.customer) c from orders a join orders b on a.customer = b.customer and a.product < b.product
	where a.id % 97 = 3 group by a.product order by c desc, 1 limit 5;
select product, round(sum(r), 2) from (select product, amount * rank() over (partition by product order by amount, id) r from orders)
	group by product order by 2 desc, 1 limit 5;
select count(*) from orders where note like '%9_a%' or note glob '*f?0*';
with recursive mandel(cx, cy, x, y, n) as (select x.v, y.v, 0.0, 0.0, 0 from
	(with recursive v(v) as (select -2.0 union all select v + 0.04 from v where v < 1) select v from v) x,
	(with recursive v(v) as (select -1.2 union all select v + 0.06 from v where v < 1.2) select v from v) y
	union all select cx, cy, x * x - y * y + cx, 2 * x * y + cy, n + 1 from mandel where x * x + y * y < 4 and n < 60)
	select max(n), count(*), round(sum(x), 6) from mandel;
select json_group_array(v) from (select json_extract(json_object('k', id, 'n', note), '$.n') v from orders order by amount desc, id limit 3);
select count(*) from (select distinct substr(note, 6, 9), hex(note) from orders);
update orders set amount = amount * 1.5, note = upper(note) where customer % 3 = 1;
delete from orders where id % 5 = 2;
vacuum;
select round(sum(amount), 3), count(*) from orders;
pragma integrity_check;
""")


def python_work(folder, rounds=60):
    write(folder, "rounds", str(rounds))
    write(folder, "work.py", """import collections, hashlib, heapq, json, multiprocessing, re, sys, threading, zlib
def primes(n):
    sieve = bytearray([1]) * (n + 1)
    for i in range(2, int(n ** .5) + 1):
        if sieve[i]:
            sieve[i * i::i] = bytes(len(range(i * i, n + 1, i)))
    return sum(sieve) - 2
def text(seed):
    data = {f"key{i}": [seed * i % 97, str(i) * 3, {"x": i / 7}] for i in range(3000)}
    out = json.dumps(data, sort_keys=True)
    back = json.loads(out)
    found = re.findall(r"(\\w+)\\": \\[(\\d+), \\"(\\d)\\3*", out)
    return len(found), zlib.crc32(out.encode()), hashlib.sha256(out.encode() * 20).hexdigest()[:12], len(back)
def heap(n):
    h, x = [], 1
    for _ in range(n):
        x = x * 1103515245 + 12345 & 0x7fffffff
        heapq.heappush(h, x)
    return [heapq.heappop(h) for _ in range(5)]
def work(seed):
    counts = collections.Counter(heap(20000 + seed))
    return seed, primes(200000), text(seed), len(counts)
rounds = int(sys.argv[1])
results = []
threads = [threading.Thread(target=lambda s=s: results.append([work(s + i) for i in range(rounds)])) for s in (1, 100)]
[t.start() for t in threads]
[t.join() for t in threads]
print(sorted(results))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, range(rounds * 2)))
""")


TOOLS = [
    Script("gcc", compile_many("gcc -O2 -w -DROUND=$i -c ../in/large.c -o $i.o; sha256sum <$i.o", 1), ["gcc"],
           "gcc --version", c_file, short=lambda f: c_file(f, 300)),
    Script("g++", compile_many("g++ -O2 -std=c++17 -DROUND=$i -c ../in/heavy.cpp -o $i.o; sha256sum <$i.o", 4), ["g++"],
           "g++ --version", cxx_file),
    Script("cmake + ninja", "cp -r ../in src; cmake -S src -B build -G Ninja | sed -E 's/[0-9.]+s//g'; "
           "cmake --build build -j 2 | sed -E 's/^.[0-9/]+. //' | sort; build/small", ["cmake", "ninja"],
           "cmake --version", small_project, short=small_project),
    Script("make", "cp -r ../in src; cmake -S src -B build -G 'Unix Makefiles' >log; make -C build -j2 -O 2>&1 | "
           "sed -E 's/^.*%.//' | sort; build/small", ["cmake", "make"], "make --version", small_project),
    Script("git", "bash ../in/make.sh; cd repo; git log -p | sha256sum; git log --stat --graph | sha256sum; "
           "for f in file1 file2 file3; do git blame -w $f | sha256sum; done; git fsck --full --strict; "
           "git gc -q --aggressive --prune=now; git fsck --full; git grep -c -E '[aeiou]{3}' $(git rev-list --all | head -n 30) | sha256sum; "
           "git -c pack.threads=2 repack -adfq --depth=50 --window=50; git log --format=%H | sha256sum", ["git"],
           "git --version", git_texts),
    Script("tar | xz | zstd", "tar c -C ../in . | xz -T2 -6 >a.xz; xz -dc a.xz | tar x -O | sha256sum; "
           "tar c -C ../in . | zstd -q -T2 -15 >a.zst; zstd -dqc a.zst | tar x -O | sha256sum", ["xz", "zstd", "tar"],
           "tar --version; xz --version; zstd --version", lambda f: binary(f, size=16 << 20)),
    Script("xz", "xz -T2 -7 --block-size=2MiB -k -c ../in/binary | sha256sum; xz -e -4 -c ../in/binary >a; xz -dc a | sha256sum", ["xz"], "xz --version", binary, short=lambda f: binary(f, size=3 << 20)),
    Script("gzip", "for l in 6 9; do gzip -n -$l -c ../in/binary >a$l; sha256sum <a$l; gunzip -c <a$l | sha256sum; done; "
           "bzip2 -c ../in/binary | sha256sum", ["gzip", "bzip2"], "gzip --version", lambda f: binary(f, size=24 << 20)),
    Script("zstd", "zstd -q -T2 -17 -c ../in/binary >a; sha256sum <a; zstd -dqc a | sha256sum; "
           "zstd -q --single-thread -12 -c ../in/binary | sha256sum", ["zstd"], "zstd --version", lambda f: binary(f, size=16 << 20)),
    Script("sqlite3", "sqlite3 file.db <../in/work.sql", ["sqlite3"], "sqlite3 --version", sqlite_work),
    Script("openssl speed", "openssl speed -seconds 1 -bytes 4096 sha256 aes-256-cbc md5; openssl speed -seconds 1 -bytes 4096 -evp chacha20; "
           "openssl speed -seconds 1 -multi 2 ecdsap256 rsa2048", ["openssl"], "openssl version",
           changing=rb"[0-9.]+k?|\s+"),
    Script("openssl", "for i in $(seq 12); do openssl dgst -sha3-512 -blake2b512 ../in/binary; openssl dgst -md5 ../in/binary; "
           "openssl enc -aes-256-ctr -pbkdf2 -iter 300000 -S 0102030405060708 -pass pass:x -in ../in/binary | sha256sum; done; "
           "openssl prime 170141183460469231731687303715884105727; openssl rsa -check -noout -in ../in/key.pem", ["openssl"],
           "openssl version", lambda f: (binary(f, size=40 << 20), rsa_key(f))),
    Script("perl", "perl ../in/work.pl 6", ["perl"], "perl -e 'print \"perl $^V\"'", perl_work, short=lambda f: perl_work(f, 30000)),
    Script("bash", r"""fib() { if (($1 < 2)); then echo $1; else echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); fi; }
fib 10
declare -A seen; n=0
while read -r a b rest; do seen[$a]=$((${seen[$a]:-0} + 1)); [[ $b =~ ^([a-z]+)([aeiou])(.)$ ]] && ((++n)); s=${rest//e/E}; done <../in/words
echo ${#seen[@]} $n ${#s}
for ((i = x = 0; i < 400000; i++)); do x=$(((x * 31 + i) % 1000003)); done; echo $x
printf '%s\n' {1..20000} | while read -r k; do echo $((k * k)); done | tail -n 1
trap 'echo trapped' USR1; kill -USR1 $$; wait
{ for i in 1 2 3 4; do (for ((k = y = 0; k < 60000; k++)); do y=$((y + k)); done; echo $y) & done; wait; } | sort""", ["bash"],
           "bash --version", lambda f: words(f, lines=60000), short=lambda f: words(f, lines=10000)),
    Script("sort", "sort ../in/words | sha256sum; sort --parallel=2 -S 4M -k2,2 -k3n -T . ../in/words | sha256sum; "
           "sort -u -f -t' ' -k1.2,3 ../in/words -o out; sha256sum <out; sort -R --random-source=../in/words ../in/words | wc -l; "
           "sort -n -S 2M ../in/words | uniq -c | sort -rn | sed -n 1,2p; LC_ALL=C sort -V ../in/words | tail -n 1", ["sort"],
           "sort --version", lambda f: words(f, lines=400000), short=lambda f: words(f, lines=60000)),
    Script("sed, grep", "for i in 1 2; do sed -E 's/([a-z]+) ([a-z]+)/\\2 \\1/g; s/(.)\\1/<\\1>/g; /q.*z/d' ../in/words | sha256sum; "
           "grep -E -c '([a-z])\\1.*([0-9])\\2' ../in/words; grep -P -o '\\b(\\w)\\w+\\1\\b' ../in/words | sha256sum; "
           "grep -F -v -f ../in/few ../in/words | wc; done; tr a-z b-za <../in/words | cut -d' ' -f2-4 | md5sum", ["sed", "grep"],
           "sed --version", lambda f: (words(f, lines=150000), words(f, "few", 30, 5)),
           short=lambda f: (words(f, lines=30000), words(f, "few", 30, 5))),
    Script("awk", "awk '{ for (i = 1; i < NF; i++) { n[$i]++; l += length($i) } s += $NF } END { for (w in n) m = n[w] > m ? n[w] : m; "
           "printf \"%d %d %.0f\\n\", m, l, s }' ../in/words; awk -F'[aeiou]' '{ gsub(/[^a-z]+/, \"\"); t += NF * length($0) % 7 } "
           "END { print t; for (i = 0; i < 12000000; i++) x = (x * 16807 + i) % 2147483647; print x, sin(x), substr(x, 2, 3) }' ../in/words",
           ["awk"], "awk -W version || awk --version", lambda f: words(f, lines=300000)),
    Script("python3", "/usr/bin/python3 -X utf8 ../in/work.py $(cat ../in/rounds)", ["/usr/bin/python3"], "/usr/bin/python3 --version", python_work, short=lambda f: python_work(f, 15)),
    Script("curl", "for i in $(seq 30); do curl -sS -o a file://$PWD/../in/binary; cmp a ../in/binary; done; "
           "curl -sS --parallel -o '#1' 'file://'$PWD'/../in/[0-9]' || echo $?; curl -V | head -n 1; "
           "for i in $(seq 10); do curl -sS http://127.0.0.1:9/ || :; done 2>&1 | sort -u", ["curl"], "curl --version",
           lambda f: binary(f, size=30 << 20), changing=rb"after \d+ ms"),
    Script("binutils", "objdump -d ../in/binary --no-show-raw-insn 2>&1 | sha256sum; readelf -aW ../in/binary 2>&1 | sha256sum; "
           "nm -D ../in/binary | sort | sha256sum; strings ../in/binary | sha256sum; ld --version | head -n 1", ["objdump"],
           "objdump --version", lambda f: binary(f, size=1 << 30)),
    Script("find, du, cp", "cp -r /usr/share/perl /usr/include . ; find . -type f -name '*.h' -newermt 2000-01-01 | sort | sha256sum; "
           "du -s --apparent-size . | wc -w; find . -type f -print0 | xargs -0 -n 200 cksum | sort | sha256sum; "
           "(diff -r perl include || :) | wc -l; rm -r perl include", ["find"], "find --version"),
]


def rsa_key(folder):
    import subprocess
    subprocess.run(["openssl", "genrsa", "-out", f"{folder}/key.pem", "2048"], stderr=subprocess.DEVNULL, check=True)
