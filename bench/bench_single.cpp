// SPDX-License-Identifier: Apache-2.0
// Single-threaded programs that get slower as soon as their process has a second thread, idle or not: libstdc++ and
// glibc ask __libc_single_threaded. bench_single tree|stdio TURNS [thread]; "thread" starts an idle one first.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <unistd.h>

namespace
{

struct Node {
	std::shared_ptr<Node> left, right;
	int value = 0;
};

volatile long sink;

void insert(std::shared_ptr<Node> &root, int value)
{
	if (!root) {
		root = std::make_shared<Node>();
		root->value = value;
		return;
	}
	std::shared_ptr<Node> at = root;
	for (;;) {
		std::shared_ptr<Node> next = value < at->value ? at->left : at->right;
		if (!next) {
			next = std::make_shared<Node>();
			next->value = value;
			(value < at->value ? at->left : at->right) = next;
			return;
		}
		at = next;
	}
}

void tree(int turns)
{
	for (int turn = 0; turn < turns; turn++) {
		std::shared_ptr<Node> root;
		unsigned random = 12345;
		for (int i = 0; i < 4000; i++)
			insert(root, static_cast<int>((random = random * 1103515245 + 12345) >> 8));
		sink = sink + root->value;
	}
}

void stdio(int turns)
{
	FILE *in = fopen("/dev/zero", "r"), *out = fopen("/dev/null", "w");
	for (int i = 0; in && out && i < turns * 200000; i++)
		putc(getc(in), out);
}

} // namespace

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (argc > 3)
		std::thread([] { pause(); }).detach();
	(strcmp(argv[1], "tree") ? stdio : tree)(atoi(argv[2]));
	return 0;
}
