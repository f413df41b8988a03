# SPDX-License-Identifier: Apache-2.0
"""Reads a pprof file by its published format alone, so that no code of ours judges itself."""
import gzip


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _fields(data):
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value = data[at:at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, value


def _numbers(value):
    if isinstance(value, int):
        return [value]
    out, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        out.append(number)
    return out


class Profile:
    """samples: [(names of the stack leaf first, values)]; a frame without a name is None."""

    def __init__(self, path):
        with gzip.open(path) as file:
            data = file.read()
        strings, mappings, functions, locations, samples, comments = [], {}, {}, {}, [], []
        for field, value in _fields(data):
            if field == 2:
                parts = {1: [], 2: []}
                for part, numbers in _fields(value):
                    if part in parts:
                        parts[part] += _numbers(numbers)
                samples.append((parts[1], parts[2]))
            elif field == 3:
                one = dict(_fields(value))
                mappings[one[1]] = one.get(5, 0)
            elif field == 4:
                one, lines = {}, []
                for part, content in _fields(value):
                    if part == 4:
                        lines.append(dict(_fields(content)).get(1, 0))
                    else:
                        one[part] = content
                locations[one[1]] = (one.get(2, 0), one.get(3, 0), lines)
            elif field == 5:
                one = dict(_fields(value))
                functions[one[1]] = one.get(2, 0)
            elif field == 6:
                strings.append(value.decode())
            elif field == 13:
                comments += _numbers(value)
        self.comments = [strings[number] for number in comments]
        self.samples = []
        frames = {}
        for number, (mapping, _, lines) in locations.items():
            path = strings[mappings.get(mapping, 0)]
            frames[number] = [(strings[functions[line]], path) for line in lines] or [(None, path)]
        for stack, values in samples:
            self.samples.append(([frame for number in stack for frame in frames[number]], values))
