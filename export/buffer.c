/* SPDX-License-Identifier: Apache-2.0
 * Growing bytes, what is put into them, and gzip around them. */
#include "export/export.h"

#include <errno.h>
#include <protobuf-c/protobuf-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static int reserve(struct dp_buffer *buffer, size_t more)
{
	if (more > SIZE_MAX / 2 - buffer->size)
		return -ENOMEM;
	const size_t need = buffer->size + more;
	if (need <= buffer->capacity)
		return 0;
	size_t capacity = buffer->capacity ? buffer->capacity : 4096;
	while (capacity < need)
		capacity *= 2;
	uint8_t *bytes = realloc(buffer->bytes, capacity);
	if (!bytes)
		return -ENOMEM;
	buffer->bytes = bytes;
	buffer->capacity = capacity;
	return 0;
}

int dp_buffer_append(struct dp_buffer *buffer, const void *bytes, size_t size)
{
	const int error = reserve(buffer, size);
	if (!error && size) {
		memcpy(buffer->bytes + buffer->size, bytes, size);
		buffer->size += size;
	}
	return error;
}

int dp_buffer_format(struct dp_buffer *buffer, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	const int size = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	const int error = size < 0 ? -EINVAL : reserve(buffer, (size_t)size + 1);
	if (error)
		return error;
	va_start(arguments, format);
	vsnprintf((char *)buffer->bytes + buffer->size, (size_t)size + 1, format, arguments);
	va_end(arguments);
	buffer->size += (size_t)size;
	return 0;
}

int dp_buffer_pack(struct dp_buffer *buffer, const ProtobufCMessage *message)
{
	const size_t size = protobuf_c_message_get_packed_size(message);
	const int error = reserve(buffer, size);
	if (!error)
		buffer->size += protobuf_c_message_pack(message, buffer->bytes + buffer->size);
	return error;
}

void dp_buffer_fini(struct dp_buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct dp_buffer){0};
}

int dp_gzip(const void *bytes, size_t size, struct dp_buffer *out)
{
	enum { GZIP_WINDOW = 15 + 16, CHUNK = 64 * 1024 };
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size};
	if (size > UINT32_MAX || deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	int result, error = 0;
	do {
		error = reserve(out, CHUNK);
		if (error)
			break;
		stream.next_out = out->bytes + out->size;
		stream.avail_out = CHUNK;
		result = deflate(&stream, Z_FINISH);
		out->size += CHUNK - stream.avail_out;
	} while (result == Z_OK || result == Z_BUF_ERROR);
	deflateEnd(&stream);
	return error;
}

int dp_gunzip(const void *bytes, size_t size, size_t most, struct dp_buffer *out)
{
	enum { GZIP_WINDOW = 15 + 16, CHUNK = 64 * 1024 };
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size};
	const size_t from = out->size;
	if (size > UINT32_MAX || inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
		return -ENOMEM;
	int result = Z_OK, error = 0;
	while (result == Z_OK) {
		error = out->size - from > most ? -EFBIG : reserve(out, CHUNK);
		if (error)
			break;
		stream.next_out = out->bytes + out->size;
		stream.avail_out = CHUNK;
		result = inflate(&stream, Z_NO_FLUSH);
		out->size += CHUNK - stream.avail_out;
	}
	const bool is_whole =
		result == Z_STREAM_END && !stream.avail_in; /* a second member is another profile */
	inflateEnd(&stream);
	if (!error && out->size - from > most)
		error = -EFBIG;
	return error ? error : is_whole ? 0 : -EBADMSG;
}

int dp_json_append(struct dp_buffer *out, const char *text)
{
	int error = dp_buffer_append(out, "\"", 1);
	for (; *text && !error; text++) {
		const unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			error = dp_buffer_format(out, "\\%c", c);
		else if (c < 0x20)
			error = dp_buffer_format(out, "\\u%04x", c);
		else
			error = dp_buffer_append(out, text, 1);
	}
	return error ? error : dp_buffer_append(out, "\"", 1);
}
