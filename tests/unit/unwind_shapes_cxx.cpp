// SPDX-License-Identifier: Apache-2.0
// Programs in small: C++ exceptions through several frames, and libstdc++.
#include "tests/unit/unwind_shapes.h"

#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

namespace
{
struct Guard {
	~Guard()
	{
		if (shape_look)
			shape_look();
	}
};

[[gnu::noinline]] int deep(int n)
{
	Guard guard;

	if (!n)
		throw std::runtime_error("from below");
	return deep(n - 1) + 1;
}
} // namespace

extern "C" void shape_exceptions(void)
{
	std::map<std::string, int> words;
	std::ostringstream out;

	for (int i = 0; i < 5; i++) {
		try {
			deep(i);
		} catch (const std::exception &error) {
			words[error.what() + std::to_string(i)] = i;
		}
	}
	for (const auto &word : words)
		out << word.first << ' ' << word.second << 2.5 << '\n';
	if (out.str().empty())
		throw std::logic_error("no words");
}
