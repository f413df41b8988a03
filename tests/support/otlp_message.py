# SPDX-License-Identifier: Apache-2.0
"""OTLP requests made by hand, right and wrong: what the receiver's own checks are held to."""


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """A message, bytes or text by its length; a number; a list: packed."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, list):
        value = b"".join(map(varint, value))
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed64(number, value):
    return varint(number << 3 | 1) + value.to_bytes(8, "little")


def request(**wrong):
    """One sample main -> work. wrong: what is to be otherwise."""
    get = lambda name, right: wrong.get(name, right)
    strings = ["", "samples", "count", "cpu", "nanoseconds", "main", "work", "a.c", "/bin/a", "thread.name", *get("more_strings", [])]
    strings[0] = get("string_0", "")
    dictionary = (
        field(1, get("mapping_0", b"")) + field(1, field(2, get("limit", 4096)) + field(4, get("file", 8))) +
        field(2, b"") + field(2, field(1, get("mapping", 1)) + field(2, 16) + field(3, field(1, get("function", 1)) + field(2, 1))) +
        field(2, field(1, 1) + field(2, 32) + field(3, field(1, 2) + field(2, 2))) +
        field(3, b"") + field(3, field(1, 5) + field(3, 7)) + field(3, field(1, get("name", 6)) + field(3, 7)) +
        field(4, b"") + get("more_links", b"") +
        b"".join(field(5, s) for s in strings) +
        field(6, b"") + field(6, field(1, get("key", 9)) + field(2, field(1, "t"))) + get("more_attributes", b"") +
        field(7, b"") + field(7, field(1, get("locations", [2, 1]))) + get("more_stacks", b""))
    sample = field(1, get("stack", 1)) + field(2, get("attributes", [1])) + get("link", b"") + field(4, get("values", [3]))
    profile = (
        get("sample_type", field(1, field(1, 1) + field(2, 2))) + field(2, sample) * get("samples", 1) + fixed64(3, 10**18) +
        field(5, field(1, 3) + field(2, 4)) + field(6, 10_000_000) + field(7, bytes(get("id_bytes", 16))) + get("more_fields", b""))
    resource = field(1, field(1, get("service", "service.name")) + field(2, field(1, "s")))
    return field(1, field(1, resource) + field(2, field(1, field(1, "scope")) + field(2, profile))) + field(2, dictionary)


WRONG = {
    "a stack out of range": {"stack": 2}, "a location out of range": {"locations": [3, 2, 1]},
    "a mapping out of range": {"mapping": 2}, "a function out of range": {"function": 3}, "a string out of range": {"name": 10},
    "an attribute out of range": {"attributes": [2]}, "a key out of range": {"key": 10}, "a link out of range": {"link": field(3, 1)},
    "a string that nobody points at": {"more_strings": ["lonely"]}, "a string that stands twice": {"more_strings": ["main"]},
    "a stack that stands twice": {"more_stacks": field(7, field(1, [2, 1]))}, "a stack nobody points at": {"more_stacks": field(7, field(1, [1]))},
    "an attribute of one key twice": {"attributes": [1, 2], "more_attributes": field(6, field(1, 9) + field(2, field(1, "u")))},
    "an attribute without a value": {"attributes": [1, 2], "more_attributes": field(6, field(1, 5))},
    "a short link": {"link": field(3, 1), "more_links": field(4, field(1, bytes(15)) + field(2, bytes(8)))},
    "a table that does not begin with a zero entry": {"mapping_0": field(4, 8)}, "a first string that is not empty": {"string_0": "x"},
    "a mapping of no size": {"limit": 0}, "an address outside of its mapping": {"limit": 20},
    "two values": {"values": [1, 2]}, "no value": {"values": []}, "the same sample twice": {"samples": 2},
    "no type": {"sample_type": b""}, "a short id": {"id_bytes": 8}, "no service": {"service": "other"},
    "a field that nobody knows": {"more_fields": field(99, 1)},
}
