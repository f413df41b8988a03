// SPDX-License-Identifier: Apache-2.0
// A busy program of four threads, and the CPU time of equal slices of its work with the profiler's timers off, off
// again, at 100 Hz and at 1000 Hz, in turns within one process: the same memory, the same caches, the same minute.
//
// Run with the tap and a profiler preloaded: bench_busy SLICES UNITS. Prints a line for each slice: kind, ns of CPU,
// ticks, ns in the handler.
#include "tick_tap.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <pthread.h>
#include <string>
#include <thread>
#include <time.h>
#include <unordered_map>
#include <vector>

namespace
{

constexpr int threads = 4;
const bench_tap_functions *tap;
pthread_barrier_t barrier;

struct Node {
	std::unique_ptr<Node> left, right;
	uint64_t key = 0;
};

uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	return x ^ x >> 29;
}

/* Recursion through frames of different sizes. */
uint64_t grow(std::unique_ptr<Node> &at, int depth, uint64_t seed);

__attribute__((noinline)) uint64_t grow_left(Node &node, int depth, uint64_t seed)
{
	volatile char room[40] = {};
	return grow(node.left, depth - 1, mix(seed + 1)) + static_cast<uint64_t>(room[seed % 40]);
}

__attribute__((noinline)) uint64_t grow_right(Node &node, int depth, uint64_t seed)
{
	volatile char room[104] = {};
	return grow(node.right, depth - 1, mix(seed + 2)) + static_cast<uint64_t>(room[seed % 104]);
}

__attribute__((noinline)) uint64_t grow(std::unique_ptr<Node> &at, int depth, uint64_t seed)
{
	if (depth == 0)
		return seed;
	at = std::make_unique<Node>();
	at->key = seed;
	return grow_left(*at, depth, seed) ^ grow_right(*at, depth, seed);
}

uint64_t count_words(uint64_t seed)
{
	std::unordered_map<std::string, int> words;
	for (int i = 0; i < 2000; i++)
		words["word" + std::to_string(mix(seed + static_cast<uint64_t>(i)) % 700)]++;
	return words.size();
}

uint64_t sort_numbers(uint64_t seed)
{
	std::vector<uint64_t> numbers(8000);
	for (auto &number : numbers)
		number = seed = mix(seed + 1);
	std::sort(numbers.begin(), numbers.end());
	return numbers[100];
}

uint64_t fill_map(uint64_t seed)
{
	std::map<uint64_t, uint64_t> map;
	for (uint64_t i = 0; i < 1500; i++)
		map[mix(seed + i) % 4096] += i;
	return map.begin()->second;
}

uint64_t work(int units, uint64_t seed)
{
	uint64_t sum = 0;
	for (int i = 0; i < units; i++) {
		std::unique_ptr<Node> root;
		sum += grow(root, 12, seed + static_cast<uint64_t>(i));
		sum += count_words(seed) + sort_numbers(seed) + fill_map(seed);
	}
	return sum;
}

uint64_t cpu_ns()
{
	timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

volatile uint64_t sink;

void worker(int slices, int units, uint64_t seed)
{
	for (int i = 0; i < slices; i++) {
		pthread_barrier_wait(&barrier);
		sink = sink + work(units, seed);
		pthread_barrier_wait(&barrier);
	}
}

struct Kind {
	const char *name;
	uint64_t hz;
};

void one_slice(const Kind &kind)
{
	tap->set_hz(kind.hz);
	const uint64_t ticks = tap->tap->ticks, cycles = tap->tap->cycles, before = cpu_ns();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	const uint64_t took = cpu_ns() - before;
	printf("%s %lu %lu %.0f\n", kind.name, took, tap->tap->ticks - ticks,
		static_cast<double>(tap->tap->cycles - cycles) / tap->tap->cycles_per_ns);
}

} // namespace

int main(int argc, char **argv)
{
	std::vector<Kind> kinds = {{"off", 0}, {"off-again", 0}, {"100", 100}, {"1000", 1000}};
	tap = bench_tap_find();
	if (!tap || argc < 3)
		return 2;
	const int slices = atoi(argv[1]), units = atoi(argv[2]), first = 20;
	pthread_barrier_init(&barrier, nullptr, threads + 1);
	std::vector<std::thread> pool;
	for (int i = 0; i < threads; i++)
		pool.emplace_back(worker, first + slices * static_cast<int>(kinds.size()), units, i * 1000003ull);
	/* An agent is found and tables are mapped before anything counts. */
	for (int i = 0; i < first; i++)
		one_slice({"first", 250});
	uint64_t random = 1;
	for (int i = 0; i < slices; i++) {
		for (size_t left = kinds.size(); left > 1; left--)
			std::swap(kinds[left - 1], kinds[(random = mix(random + 7)) % left]);
		for (const auto &kind : kinds)
			one_slice(kind);
		fflush(stdout);
	}
	for (auto &thread : pool)
		thread.join();
	return 0;
}
