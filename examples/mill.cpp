// SPDX-License-Identifier: Apache-2.0
// The mill: threads that make a text, count its words, pack it and search it. Its output is always the same.
#include "mill.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <map>
#include <memory>
#include <pthread.h>
#include <string>
#include <thread>
#include <vector>

namespace mill {

class Text {
public:
	explicit Text(unsigned seed) : state(seed) {}

	std::string make(size_t words)
	{
		static const char *const grains[] = {"wheat", "rye", "mills", "turns", "and", "or", "flour", "bran", "stones"};
		std::string text;
		for (size_t i = 0; i < words; i++) {
			text += grains[next() % 9];
			text += ' ';
		}
		return text;
	}

private:
	unsigned next() { return state = state * 1664525u + 1013904223u, state >> 16; }
	unsigned state;
};

using Counts = std::map<std::string, size_t>;

Counts count_words(const std::string &text)
{
	Counts counts;
	for (size_t at = 0, end; (end = text.find(' ', at)) != std::string::npos; at = end + 1)
		counts[text.substr(at, end - at)]++;
	return counts;
}

template <typename Compare> void sort_words(std::vector<std::string> &words, Compare less)
{
	std::sort(words.begin(), words.end(), less);
}

size_t rank_words(const std::string &text)
{
	std::vector<std::string> words;
	for (size_t at = 0, end; (end = text.find(' ', at)) != std::string::npos; at = end + 1)
		words.push_back(text.substr(at, end - at));
	sort_words(words, [](const std::string &one, const std::string &other) { return one < other; });
	return words.size();
}

} // namespace mill

using Grep = unsigned long (*)(const char *, unsigned long);

int main(int argc, char **argv)
{
	const int rounds = argc > 1 ? std::atoi(argv[1]) : 100;
	std::string plugin(argv[0]);
	plugin.erase(plugin.rfind('/') + 1);
	plugin += "libmill_grep.so";
	void *handle = dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
	Grep grep = handle ? reinterpret_cast<Grep>(dlsym(handle, "mill_grep")) : nullptr;
	if (!grep) {
		std::fprintf(stderr, "mill: no %s\n", plugin.c_str());
		return 1;
	}
	unsigned long words = 0, packed = 0, found = 0, kinds = 0;
	std::thread counter([&] {
		pthread_setname_np(pthread_self(), "counter");
		for (int i = 0; i < rounds; i++)
			kinds += mill::count_words(mill::Text(i).make(60000)).size();
	});
	std::thread ranker([&] {
		pthread_setname_np(pthread_self(), "ranker");
		for (int i = 0; i < rounds; i++)
			words += mill::rank_words(mill::Text(i + 7).make(60000));
	});
	std::thread packer([&] {
		pthread_setname_np(pthread_self(), "packer");
		for (int i = 0; i < rounds; i++) {
			const std::string text = mill::Text(i + 13).make(250000);
			packed += mill_pack(text.data(), text.size());
		}
	});
	for (int i = 0; i < rounds; i++) {
		const std::string text = mill::Text(i + 29).make(60000);
		found += grep(text.data(), text.size());
	}
	counter.join();
	ranker.join();
	packer.join();
	std::printf("kinds %lu, words %lu, packed %lu, found %lu\n", kinds, words, packed, found);
	return 0;
}
