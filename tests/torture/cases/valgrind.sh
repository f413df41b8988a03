# SPDX-License-Identifier: Apache-2.0
# Valgrind ends a program that calls clone() in a way it does not know.
command -v valgrind >/dev/null || { echo "no valgrind here"; exit 77; }
valgrind -q "$TORTURE_PROGRAMS/torture_process" exits_at_once
