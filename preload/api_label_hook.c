/* SPDX-License-Identifier: Apache-2.0
 * The public API's labels. */
#define DEEPPROF_IMPLEMENTATION
#include "deepprof.h"

#include "capture/label.h"
#include "preload/hooks.h"

#include <errno.h>

int deepprof_set_label(const char *key, const char *value)
{
	const int saved_errno = errno;
	int set = -EPERM;
	if (dp_hooks_are_on())
		set = dp_labels_make(dp_labels_get(), key, value);
	if (set >= 0)
		dp_labels_set((uint32_t)set);
	errno = saved_errno;
	return set < 0 ? set : 0;
}

int deepprof_unset_label(const char *key)
{
	return deepprof_set_label(key, NULL);
}

deepprof_labels deepprof_get_labels(void)
{
	return dp_labels_get();
}

deepprof_labels deepprof_set_labels(deepprof_labels labels)
{
	const deepprof_labels before = dp_labels_get();
	dp_labels_set(labels);
	return before;
}

deepprof_labels deepprof_make_labels(deepprof_labels labels, const char *key, const char *value)
{
	const int saved_errno = errno;
	int set = -EPERM;
	if (dp_hooks_are_on())
		set = dp_labels_make(labels, key, value);
	errno = saved_errno;
	return set < 0 ? labels : (deepprof_labels)set;
}
