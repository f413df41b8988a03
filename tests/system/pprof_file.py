# SPDX-License-Identifier: Apache-2.0
"""Reads a .pb.gz by the published profile.proto (github.com/google/pprof, proto/profile.proto) and nothing of ours."""
import gzip
from collections import namedtuple

# stack: function names, leaf first; labels: {key: text or number}; frames: the same stack as Frames
Sample = namedtuple("Sample", "stack values labels frames")
Frame = namedtuple("Frame", "name system_name file start_line line object")


def _fields(data):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            yield number, varint()
        elif kind == 2:
            size = varint()
            yield number, data[at:at + size]
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _numbers(value):
    """A repeated integer: packed, or one that stands alone."""
    if isinstance(value, int):
        return [value]
    numbers, at = [], 0
    while at < len(value):
        number = shift = 0
        while True:
            byte = value[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        numbers.append(number)
    return numbers


def _signed(value):
    return value - (1 << 64) if value >> 63 else value


class Profile:
    """types, samples, comments, period, losses {reason: (count, weight_ns)}, identity {key: value}"""

    def __init__(self, path):
        with gzip.open(path) as file:
            top = list(_fields(file.read()))
        strings = [value.decode() for number, value in top if number == 6]
        self.types = [tuple(strings[v] for _, v in sorted(_fields(value))) for number, value in top if number == 1]
        self.period = next((value for number, value in top if number == 12), 0)
        self.comments = [strings[index] for number, value in top if number == 13 for index in _numbers(value)]
        functions = {}
        for number, value in top:
            if number == 5:
                fields = dict(_fields(value))
                functions[fields[1]] = [strings[fields.get(n, 0)] for n in (2, 3, 4)] + [fields.get(5, 0)]
        objects = {}
        for number, value in top:
            if number == 3:
                fields = dict(_fields(value))
                objects[fields[1]] = strings[fields.get(5, 0)]
        locations = {}
        for number, value in top:
            if number == 4:
                fields = list(_fields(value))
                lines = [dict(_fields(line)) for n, line in fields if n == 4]
                whose = objects.get(dict(fields).get(2), "")
                locations[dict(fields)[1]] = [Frame(*functions[line[1]], line.get(2, 0), whose) for line in lines] or [
                    Frame("?", "", "", 0, 0, whose)]
        self.samples = [self._sample(value, strings, locations) for number, value in top if number == 2]
        self.losses, self.identity = {}, {}
        for comment in self.comments:
            kind, _, rest = comment.partition(" ")
            if kind == "deepprof_loss":
                count, _, weight = rest.partition(" weight_ns=")
                self.losses[count.split("=")[0]] = (int(count.split("=")[1]), int(weight))
            elif kind == "deepprof_label":
                self.identity[rest.split("=", 1)[0]] = rest.split("=", 1)[1]

    @staticmethod
    def _sample(data, strings, locations):
        frames, values, labels = [], [], {}
        for number, value in _fields(data):
            if number == 1:
                for location in _numbers(value):
                    frames += locations[location]
            elif number == 2:
                values += [_signed(v) for v in _numbers(value)]
            elif number == 3:
                fields = dict(_fields(value))
                labels[strings[fields[1]]] = strings[fields[2]] if fields.get(2) else _signed(fields.get(3, 0))
        return Sample(tuple(frame.name for frame in frames), tuple(values), labels, tuple(frames))

    def weight_ns(self, **labels):
        """Of the samples with these labels."""
        return sum(s.values[-1] for s in self.samples if all(s.labels.get(k) == v for k, v in labels.items()))

    def lost_ns(self):
        return sum(weight for _, weight in self.losses.values())
