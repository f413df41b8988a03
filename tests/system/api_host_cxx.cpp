// SPDX-License-Identifier: Apache-2.0
// The same program by a C++ compiler, which mangles what the header forgets to declare extern "C".
#include "api_host.c"
