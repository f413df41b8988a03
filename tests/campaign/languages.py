# SPDX-License-Identifier: Apache-2.0
"""Languages with a machine of their own, and the compilers of two: native frames must be whole, and the rest harmless."""
from program import Script, binary, words, write


def node_work(folder):
    words(folder, lines=60000)
    write(folder, "work.js", r"""const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');
const fs = require('fs'), zlib = require('zlib'), crypto = require('crypto');
function primes(n) { const s = new Uint8Array(n + 1); let c = 0;
	for (let i = 2; i <= n; i++) { if (s[i]) continue; c++; for (let k = i * 2; k <= n; k += i) s[k] = 1; } return c; }
function tree(n) { return n ? { l: tree(n - 1), r: tree(n - 1), v: n } : { v: 1 }; }
function sum(t) { return t.v + (t.l ? sum(t.l) + sum(t.r) : 0); }
class Shape { area() { return 0; } }
class Square extends Shape { constructor(a) { super(); this.a = a; } area() { return this.a * this.a; } }
function work(rounds) { let out = 0;
	for (let i = 0; i < rounds; i++) { out += primes(400000 + i) + sum(tree(15));
		for (let k = 0; k < 200000; k++) out += new Square(k & 15).area(); }
	return out; }
function text() { const count = new Map();
	for (const line of fs.readFileSync('../in/words', 'utf8').split('\n'))
		for (const word of line.split(' ')) count.set(word, (count.get(word) || 0) + 1);
	const top = [...count].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 5);
	return JSON.stringify(JSON.parse(JSON.stringify(top))) + /(\w)\1(\d+)/g.exec(top.join(' ') + 'aa12'); }
if (isMainThread) {
	const w = new Worker(__filename, { workerData: 150 });
	w.on('message', (m) => console.log('worker', m));
	const data = fs.readFileSync('../in/words');
	for (let i = 0; i < 4; i++) zlib.gzip(data, { level: 9 }, (e, z) => console.log(e || z.length));
	crypto.pbkdf2('a', 'b', 400000, 32, 'sha512', (e, k) => console.log(e || k.toString('hex')));
	console.log(work(150), text(), crypto.createHash('sha256').update(data).digest('hex'));
} else parentPort.postMessage(work(workerData));
""")


def java_work(folder):
    write(folder, "Work.java", """import java.util.*;
import java.util.stream.*;
public class Work {
	interface Shape { double area(); }
	record Square(double a) implements Shape { public double area() { return a * a; } }
	record Circle(double r) implements Shape { public double area() { return 3 * r * r; } }
	static long work(int seed) {
		Map<String, Integer> map = new HashMap<>();
		Random random = new Random(seed);
		for (int i = 0; i < 300000; i++) map.merge("k" + random.nextInt(5000), 1, Integer::sum);
		double area = IntStream.range(0, 500000).mapToObj(i -> (Shape) (i % 2 == 0 ? new Square(i) : new Circle(i)))
			.mapToDouble(Shape::area).sum();
		return map.values().stream().mapToLong(v -> (long) v * v).sum() + (long) area % 1000;
	}
	public static void main(String[] args) throws Exception {
		List<Long> results = Collections.synchronizedList(new ArrayList<>());
		Thread[] threads = new Thread[3];
		for (int t = 0; t < 3; t++) { int seed = t; threads[t] = new Thread(() -> { for (int i = 0; i < 8; i++) results.add(work(seed * 10 + i)); }); threads[t].start(); }
		for (Thread t : threads) t.join();
		Collections.sort(results);
		System.out.println(results);
		try { deep(0); } catch (StackOverflowError e) { System.out.println("overflow caught"); }
	}
	static int deep(int n) { return deep(n + 1) + 1; }
}
""")


def rust_work(folder):
    write(folder, "main.rs", """use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
trait Shape { fn area(&self) -> f64; }
""" + "".join(f"""#[derive(Debug, Clone, PartialEq, PartialOrd, Hash, Eq, Ord)]
struct S{i} {{ a: Vec<u{8 << i % 4}>, b: BTreeMap<String, Option<u32>>, c: Box<Option<S{max(i - 1, 0)}>> }}
fn f{i}<T: Debug + Clone>(t: T, m: &mut HashMap<String, Vec<T>>) -> String {{
    m.entry(format!("{{:?}}", t)).or_default().push(t.clone());
    m.iter().filter(|(k, _)| k.len() > {i}).map(|(k, v)| format!("{{k}}{{:?}}", v)).collect::<Vec<_>>().join(",")
}}
""" for i in range(40)) + "fn main() {\n" + "".join(
        f"let s{i} = S{i} {{ a: vec![{i}], b: BTreeMap::new(), c: Box::new({f'Some(s{i - 1})' if i else 'None'}) }};\n"
        f"println!(\"{{}}\", f{i}(s{i}.clone(), &mut HashMap::new()).len());\n" for i in range(40)) + "}\n")


def cargo_work(folder):
    write(folder, "Cargo.toml", "[package]\nname = 'small'\nversion = '0.1.0'\nedition = '2021'\n[[bin]]\nname = 'small'\npath = 'main.rs'\n")
    rust_work(folder)


def go_work(folder):
    write(folder, "go.mod", "module example.org/small\ngo 1.20\n")
    write(folder, "main.go", """package main
// #include <stdlib.h>
// #include <math.h>
// #cgo LDFLAGS: -lm
// static double work(int n) { double s = 0; for (int i = 1; i < n; i++) s += sqrt(i) / (i + 1); return s; }
import "C"
import ("fmt"; "sort"; "strings"; "sync")
func fib(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }
func main() {
	var group sync.WaitGroup
	results := make([]float64, 4)
	for i := range results { group.Add(1); go func(i int) { defer group.Done(); results[i] = float64(C.work(C.int(40000000+i))) + float64(fib(34)) }(i) }
	group.Wait()
	sort.Float64s(results)
	fmt.Println(strings.TrimSpace(fmt.Sprintf("%.3f", results)))
}
""")


def ruby_work(folder):
    write(folder, "work.rb", """require 'json'; require 'digest'; require 'set'
fibers = 50.times.map { |k| Fiber.new { x = k; 2000.times { |i| x = (x * 31 + i) % 1000003; Fiber.yield x if i % 10 == 0 }; x } }
sum = 0
fibers.each { |f| sum += f.resume while f.alive? }
puts sum
def primes(n) = (2..n).select { |i| (2..Integer.sqrt(i)).none? { |d| (i % d).zero? } }.size
threads = 3.times.map { |t| Thread.new { [t, primes(30000 + t), (1..60000).map { |i| (i * 7919 % 1000).to_s }.tally.size] } }
puts threads.map(&:value).inspect
data = (1..40000).to_h { |i| ["key#{i}", [i, i / 7.0, 'x' * (i % 13)]] }
4.times { s = JSON.generate(data); puts Digest::SHA256.hexdigest(s), JSON.parse(s).size, s.scan(/(\\d)\\1+/).size, s.gsub(/key(\\d+)/) { $1.to_i.to_s(16) }.hash.class }
e = Enumerator.new { |y| a, b = 0, 1; loop { y << a; a, b = b, a + b } }
puts e.lazy.select(&:even?).first(400).sum.to_s.size
puts e.next, e.next, e.next
""")


def php_work(folder):
    write(folder, "work.php", r"""<?php
function fib($n) { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
echo fib(29), "\n";
$count = []; for ($i = 0; $i < 1500000; $i++) { $k = "k" . ($i * 7919 % 3001); $count[$k] = ($count[$k] ?? 0) + $i % 7; }
ksort($count); echo md5(serialize($count)), "\n";
$gen = (function () { for ($i = 0; $i < 500000; $i++) yield $i => $i * $i; })();
$s = 0; foreach ($gen as $k => $v) $s += $v % 13; echo $s, "\n";
$text = str_repeat("the quick brown fox 12345 ", 20000);
echo preg_match_all('/(\w)(\w+)\s(\d\d)/', $text), strlen(preg_replace_callback('/[aeiou]+/', fn($m) => strtoupper($m[0]), $text)), "\n";
for ($i = 0; $i < 5; $i++) echo strlen(json_encode(json_decode(json_encode($count), true))), crc32(gzdeflate($text, 9)), "\n";
$rows = array_map(fn($i) => [$i * 31 % 1009, $i], range(1, 100000)); usort($rows, fn($a, $b) => $a <=> $b); echo count($rows), "\n";
$f = new Fiber(function () { $x = 0; while ($x < 100000) { $x += Fiber::suspend($x); } return $x; });
$x = $f->start(); while (!$f->isTerminated()) $f->resume(3); echo $f->getReturn(), "\n";
""")


def lua_work(folder):
    write(folder, "work.lua", """local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(30))
local t = {} for i = 1, 300000 do t[i] = (i * 7919) % 100003 end table.sort(t, function(a, b) return a < b end) print(t[1000])
local co = coroutine.wrap(function() for i = 1, 600000 do coroutine.yield(i) end return -1 end)
local s = 0 repeat local v = co() s = s + v until v < 0 print(s)
local text = string.rep('the quick brown fox ', 20000) for i = 1, 4 do print((text:gsub('(%w)(%w+)', '%2%1')):len(), select(2, text:gsub('[aeiou]+', string.upper))) end
local parts = {} for i = 1, 200000 do parts[#parts + 1] = string.format('%05d%x', i, i * 31) end print(#table.concat(parts))
""")


LANGUAGES = [
    Script("node", "node --perf-basic-prof --no-warnings ../in/work.js | sort; rm -f /tmp/perf-*.map.none", ["node"],
           "node --version", node_work),
    Script("node (plain)", "node ../in/work.js | sort", ["node"], "node --version", node_work),
    Script("java", "java -version 2>&1; cp ../in/Work.java .; javac -J-Xmx256m Work.java; ls; java -Xmx256m -cp . Work; "
           "java -Xint -Xmx256m -cp . Work | head -c 100; java -XX:+UseSerialGC -Xmx128m -cp . Work | md5sum", ["java", "javac"],
           "java -version", java_work),
    Script("ruby", "ruby ../in/work.rb; ruby ../in/work.rb | md5sum; ruby --yjit ../in/work.rb | md5sum", ["ruby"], "ruby --version", ruby_work),
    Script("php", "for i in 1 2 3; do php ../in/work.php; done; php -d opcache.enable_cli=1 -d opcache.jit_buffer_size=32M ../in/work.php | md5sum", ["php"],
           "php --version", php_work),
    Script("lua", "for i in 1 2 3 4 5 6; do lua5.4 ../in/work.lua; done", ["lua5.4"], "lua5.4 -v", lua_work),
    Script("rustc", "rustc -O -C codegen-units=2 ../in/main.rs -o main; ./main | md5sum; rustc --emit=asm -C debuginfo=2 ../in/main.rs -o main.s; "
           "wc -l <main.s", ["rustc"], "rustc --version", rust_work),
    Script("cargo", "cp -r ../in src; cd src; cargo build --offline -q 2>&1; target/debug/small | md5sum", ["cargo"],
           "cargo --version", cargo_work),
    Script("go", "cp -r ../in src; cd src; GOFLAGS=-mod=mod GOPROXY=off GOCACHE=$PWD/../cache CGO_ENABLED=1 go build -o small .; ./small; "
           "CGO_ENABLED=0 GOCACHE=$PWD/../cache go vet fmt", ["go"], "go version", go_work),
    Script("ffmpeg", "ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=640x360:r=25:d=20 -f lavfi -i 'sine=440:d=20' "
           "-c:v libx264 -preset medium -threads 2 -c:a aac -fflags +bitexact -flags +bitexact -y a.mp4; "
           "ffmpeg -nostdin -v error -i a.mp4 -vf 'scale=320:180,hue=h=60,unsharp' -threads 2 -f framemd5 -fflags +bitexact - | grep -v '^#' | md5sum; "
           "ffmpeg -nostdin -v error -i a.mp4 -c:v mpeg4 -an -y -fflags +bitexact b.avi; md5sum b.avi", ["ffmpeg"], "ffmpeg -version"),
    Script("imagemagick", "convert-im6.q16 -size 1200x900 plasma:fractal -seed 3 +noise Gaussian a.png >/dev/null 2>&1 || true; "
           "convert-im6.q16 -size 1600x1200 gradient:red-blue -swirl 180 -blur 0x4 -resize 60% -charcoal 2 rgb:- | md5sum; "
           "convert-im6.q16 -size 900x900 pattern:checkerboard -distort Arc 120 -despeckle -paint 4 -quality 90 rgb:- | md5sum", ["convert-im6.q16"],
           "convert-im6.q16 --version"),
    Script("gdb", "gdb -nx -q -batch -ex 'info functions ^a' -ex 'info types z' -ex 'python print(sum(i * i for i in range(30000000)))' "
           "$(gcc -print-prog-name=cc1) 2>&1 | sha256sum", ["gdb"], "gdb --version"),
]
del binary
