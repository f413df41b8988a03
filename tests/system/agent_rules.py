#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent's start as its hosts, their parents and their tools see it: not at all. Which test stands for which rule:
docs/AGENT-RULES.md."""
import os
import signal
import subprocess
import time

from agent_rules_support import HANG, HOST, Guest, check, exe, pids, status, text, wait
from support import done, wait_for

guest = Guest()


# ---- nobody's child ----

guest.same("1.1 a plain waiter meets no stranger and no SIGCHLD", [HOST, "sees_no_stranger"], {"rate": 1000})
guest.same("1.1b a waiter for all kinds of children does not hang", [HOST, "waits_for_all_kinds"], {"rate": 1000})
guest.same("1.4 a pending time name space is left to the program", [HOST, "time_name_space"])
guest.same("1.4 a pid name space entered by setns is left to the program", [HOST, "enters_pid_name_space"])
guest.same("1.4 a user name space can be entered by setns", [HOST, "enters_user_name_space"])
guest.same("1.5 a filter by syscall() before the first tick", [HOST, "filters_by_number"])
guest.same("5.5 a single-threaded program stays single-threaded, its first descriptor is 3",
           [HOST, "stays_single_threaded"])
guest.same("5.2 no sleep or wait is interrupted", [HOST, "is_never_interrupted"], {"rate": 1000})
guest.same("3.2 hooks in a child of a raw clone or _Fork", [HOST, "hooks_in_raw_child"], {"rate": 1000})
guest.remove()
done()
