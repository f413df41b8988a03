# SPDX-License-Identifier: Apache-2.0
"""A service whose requests say what CPU time they took: the truth that a profile of it is held to."""
import hashlib
import json
import random
import time

import deepprof
from flask import Flask

app = Flask(__name__)
data = [{"name": f"name{i}", "value": i * 1.5} for i in range(3000)]
numbers = list(range(20000))


def bubble(count):
    values = numbers[:count]
    random.shuffle(values)
    for end in range(count - 1, 0, -1):
        for i in range(end):
            if values[i] > values[i + 1]:
                values[i], values[i + 1] = values[i + 1], values[i]
    return values


def measured(endpoint, work):
    """What the thread used under that label."""
    began = time.thread_time_ns()
    with deepprof.labels(endpoint=endpoint):
        work()
    return {"ns": time.thread_time_ns() - began}


@app.route("/sort")
def sort():
    return measured("/sort", lambda: bubble(1200))


@app.route("/json")
def encode():
    return measured("/json", lambda: [json.loads(json.dumps(data)) for _ in range(12)])


@app.route("/hash")
def digest():
    return measured("/hash", lambda: [hashlib.sha256(b"x" * 4_000_000).digest() for _ in range(12)])
