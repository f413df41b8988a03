# SPDX-License-Identifier: Apache-2.0
"""What class files say of calls, read by the JDK's own javap: which names a line of a method calls, where a method's lines
are, which source a class has."""
import re
import subprocess

_CLASS = re.compile(r"^(?:[\w@]+ )*?(?:class|interface|enum|@interface) ([\w.$]+)")
_METHOD = re.compile(r"^  (?:[\w@.$<>\[\], ?&]+ )??([\w.$<>]+)\(.*\)(?: throws .*)?;$")
_CALL = re.compile(r"^ +(\d+): (invoke\w+)\b.*// (?:Interface)?(?:Method|InvokeDynamic) (\S+)")
_LINE = re.compile(r"^ +line (\d+): (\d+)$")
# Whoever is called by these may be anyone (java.lang.invoke: signature polymorphic methods).
_ANYONE = re.compile(r"java/lang/invoke/(MethodHandle|VarHandle)\.")


class Method:
    def __init__(self):
        self.lines = set()
        self.has_native = False
        self.calls = {}  # line: names; None among them: anyone


class Classes:
    def __init__(self, jdk, class_path):
        self._jdk, self._class_path = jdk, class_path
        self._known = {}  # name: None, or (source, {method: Method})

    def read(self, names):
        """So that ask() knows them: one javap for all."""
        wanted = [n for n in sorted(set(names)) if n not in self._known]
        for name in wanted:
            self._known[name] = None
        for start in range(0, len(wanted), 200):
            out = subprocess.run([self._jdk.javap, "-c", "-l", "-p", "-cp", self._class_path] + wanted[start:start + 200],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=240).stdout.decode()
            self._take(out)

    def ask(self, name):
        """(source, {method: Method}), or None: no class file."""
        return self._known.get(name)

    def _take(self, out):
        source = name = method = None
        calls, lines = [], []

        def finish():
            if method is None:
                return
            starts = sorted((bci, line) for line, bci in lines)
            method.lines.update(line for line, _ in lines)
            for bci, called in calls:
                line = max(((b, l) for b, l in starts if b <= bci), default=(0, 0))[1]
                method.calls.setdefault(line, set()).add(called)

        for text in out.splitlines():
            if text.startswith("Compiled from"):
                finish()
                method, calls, lines = None, [], []
                source = text.split('"')[1]
            elif (found := _CLASS.match(text)) and text.endswith("{"):
                finish()
                method, calls, lines = None, [], []
                name = found.group(1)
                self._known[name] = (source, {})
                source = None
            elif text.startswith("  ") and not text.startswith("   ") and text.endswith(";"):
                finish()
                method, calls, lines = None, [], []
                found = _METHOD.match(text)
                if text.strip() == "static {};":
                    called = "<clinit>"
                elif found:
                    called = "<init>" if found.group(1) == name else found.group(1)
                else:
                    continue  # a field
                method = self._known[name][1].setdefault(called, Method())
                method.has_native |= " native " in text
            elif found := _CALL.match(text):
                target = found.group(3)
                if found.group(2) == "invokedynamic" or _ANYONE.match(target):
                    calls.append((int(found.group(1)), None))
                else:
                    callee = target.split(":")[0].split(".")[-1].strip('"')
                    calls.append((int(found.group(1)), callee))
            elif found := _LINE.match(text):
                lines.append((int(found.group(1)), int(found.group(2))))
        finish()
