/* SPDX-License-Identifier: Apache-2.0
 * What a program is, told from its file: can it be preloaded into, and will its frames have names? Agent and
 * command only. */
#ifndef DEEPPROF_SYMBOLS_ELF_INSPECT_H
#define DEEPPROF_SYMBOLS_ELF_INSPECT_H

#include <stdbool.h>

enum dp_program_kind {
	DP_PROGRAM_OTHER,   /* neither ELF nor #!, or not readable */
	DP_PROGRAM_ELF,     /* of this machine */
	DP_PROGRAM_FOREIGN, /* ELF of another machine or of 32 bits */
	DP_PROGRAM_SCRIPT,
};
enum dp_program_link { DP_LINK_NONE, DP_LINK_DYNAMIC, DP_LINK_STATIC, DP_LINK_LIBRARY };
enum dp_program_libc { DP_LIBC_NONE, DP_LIBC_GLIBC, DP_LIBC_MUSL, DP_LIBC_UNKNOWN };

struct dp_program {
	enum dp_program_kind kind;
	enum dp_program_link link;
	enum dp_program_libc libc; /* told from the loader; NONE without one */
	char loader[256];          /* PT_INTERP, "" when there is none */
	/* A script's program. Of "#!/usr/bin/env -S python3 -u" it is python3, to be found in PATH. */
	char interpreter[256];
	char build_id[129]; /* "" when there is none */
	bool is_readable;
	bool is_setuid, is_setgid, has_capabilities; /* the loader then ignores LD_PRELOAD */
	bool is_go;
	bool is_python, is_jvm; /* by file name, #!, or the libraries it needs */
	char needed[1024]; /* the libraries it is linked to, each followed by a newline; as many as there is room for */
	bool has_symtab, has_dynsym, has_debug_info, has_debuglink, has_eh_frame;
};

/* 0, or -errno when there is no such file. A file that may be executed but not read is told by its mode. */
int dp_program_inspect(struct dp_program *program, const char *path);

#endif
