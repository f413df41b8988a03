/* SPDX-License-Identifier: Apache-2.0
 * The flame graph page's sources (export/html/), embedded at build time by cmake/embed.cmake. */
#ifndef DEEPPROF_EXPORT_HTML_PARTS_H
#define DEEPPROF_EXPORT_HTML_PARTS_H

#include <stddef.h>

/* page.html is the frame; each @NAME@ in it is a place that dp_html_encode() fills. */
extern const unsigned char dp_embedded_page[], dp_embedded_style[], dp_embedded_script[];
extern const size_t dp_embedded_page_size, dp_embedded_style_size, dp_embedded_script_size;

#endif
