/* SPDX-License-Identifier: Apache-2.0
 * Few bytes and seldom: written for its brevity. Names are the standard's. */
#include "base/sha256.h"

#include <string.h>

enum { BLOCK = 64 };

/* The cube roots of the first primes, behind the point. */
static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static void take_block(uint32_t H[8], const uint8_t *block)
{
	uint32_t W[64], s[8];
	for (int t = 0; t < 16; t++)
		W[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
		       (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
	for (int t = 16; t < 64; t++) {
		const uint32_t s0 = rotated(W[t - 15], 7) ^ rotated(W[t - 15], 18) ^ W[t - 15] >> 3;
		const uint32_t s1 = rotated(W[t - 2], 17) ^ rotated(W[t - 2], 19) ^ W[t - 2] >> 10;
		W[t] = W[t - 16] + s0 + W[t - 7] + s1;
	}
	memcpy(s, H, sizeof s);
	for (int t = 0; t < 64; t++) {
		const uint32_t S1 = rotated(s[4], 6) ^ rotated(s[4], 11) ^ rotated(s[4], 25);
		const uint32_t ch = (s[4] & s[5]) ^ (~s[4] & s[6]);
		const uint32_t t1 = s[7] + S1 + ch + K[t] + W[t];
		const uint32_t S0 = rotated(s[0], 2) ^ rotated(s[0], 13) ^ rotated(s[0], 22);
		const uint32_t t2 = S0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		memmove(s + 1, s, 7 * sizeof *s);
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		H[i] += s[i];
}

void dp_sha256(const void *bytes, size_t size, uint8_t digest[DP_SHA256_BYTES])
{
	/* The square roots of the first primes, behind the point. */
	uint32_t H[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};
	const uint8_t *at = bytes;
	uint8_t last[2 * BLOCK] = {0};
	size_t left = size;
	for (; left >= BLOCK; left -= BLOCK, at += BLOCK)
		take_block(H, at);
	if (left)
		memcpy(last, at, left);
	last[left] = 0x80;
	const size_t end = left < BLOCK - 8 ? BLOCK : 2 * BLOCK;
	for (int i = 0; i < 8; i++)
		last[end - 1 - (size_t)i] = (uint8_t)((uint64_t)size * 8 >> 8 * i);
	take_block(H, last);
	if (end > BLOCK)
		take_block(H, last + BLOCK);
	for (int i = 0; i < DP_SHA256_BYTES; i++)
		digest[i] = (uint8_t)(H[i / 4] >> (24 - i % 4 * 8));
}
