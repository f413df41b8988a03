/* SPDX-License-Identifier: Apache-2.0
 * Programs in small: code whose stacks have the shapes that unwinders get wrong. */
#ifndef DEEPPROF_TESTS_UNWIND_SHAPES_H
#define DEEPPROF_TESTS_UNWIND_SHAPES_H

struct unwind_shape {
	const char *name;
	void (*run)(void);
};

extern const struct unwind_shape unwind_shapes[];
extern const int unwind_shape_count;

#ifdef __cplusplus
extern "C"
#endif
	void
	shape_exceptions(void); /* C++ */

enum { SHAPE_COROUTINE_STACK = 65536 };
extern char shape_coroutine_stack[SHAPE_COROUTINE_STACK];

/* Called in the middle of shapes that have one: a test may look at the stack from there. */
extern void (*volatile shape_look)(void);

#endif
