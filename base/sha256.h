/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 (FIPS 180-4). Agent only. */
#ifndef DEEPPROF_BASE_SHA256_H
#define DEEPPROF_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { DP_SHA256_BYTES = 32 };
void dp_sha256(const void *bytes, size_t size, uint8_t digest[DP_SHA256_BYTES]);

#endif
