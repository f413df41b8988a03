// SPDX-License-Identifier: Apache-2.0
// C++ exceptions through deep stacks, in several threads, and out of them.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace
{
std::atomic<long> destroyed, caught;

struct guard {
	~guard()
	{
		destroyed++;
	}
};

long deep(int depth, int fail_at)
{
	guard g;
	if (depth == fail_at)
		throw std::runtime_error("depth " + std::to_string(depth));
	if (depth == 200)
		return 1;
	return deep(depth + 1, fail_at) + 1;
}

void throw_many(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		try {
			deep(0, 50 + i % 100);
		} catch (const std::exception &e) {
			if (std::strncmp(e.what(), "depth ", 6) == 0)
				caught++;
		}
	}
}

void exceptions()
{
	throw_many(8000);
	std::printf("caught %ld destroyed %ld\n", caught.load(), destroyed.load());
}

void exceptions_in_threads()
{
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++)
		threads.emplace_back(throw_many, 3000);
	for (auto &thread : threads)
		thread.join();
	std::printf("caught %ld destroyed %ld\n", caught.load(), destroyed.load());
}

void shared()
{
	std::vector<std::shared_ptr<std::string>> texts;
	long size = 0;
	for (int i = 0; i < 400000; i++) {
		texts.push_back(std::make_shared<std::string>(std::to_string(i)));
		if (texts.size() > 1000)
			texts.erase(texts.begin(), texts.begin() + 500);
		size += static_cast<long>(texts.back()->size());
	}
	std::printf("size %ld\n", size);
}

void uncaught()
{
	std::puts("before");
	std::fflush(stdout);
	throw_many(2000);
	deep(0, 60);
}

const struct {
	const char *name;
	void (*run)();
} cases[] = {{"exceptions", exceptions}, {"exceptions_in_threads", exceptions_in_threads}, {"shared", shared},
	{"uncaught", uncaught}};
} // namespace

int main(int argc, char **argv)
{
	for (const auto &c : cases)
		if (argc < 2)
			std::puts(c.name);
		else if (!std::strcmp(argv[1], c.name)) {
			c.run();
			return 0;
		}
	return argc < 2 ? 0 : 97;
}
