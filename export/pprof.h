/* SPDX-License-Identifier: Apache-2.0
 * What our own pprof files carry in comments, for the encoder and the decoder. */
#ifndef DEEPPROF_EXPORT_PPROF_H
#define DEEPPROF_EXPORT_PPROF_H

#define DP_PPROF_LOSS  "deepprof_loss "  /* "ring_full=12 weight_ns=120000000" */
#define DP_PPROF_LABEL "deepprof_label " /* "service_name=shop" */

#endif
