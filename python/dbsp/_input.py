# SPDX-License-Identifier: Apache-2.0
"""Files that others wrote: bytes, zstd, JSON with a path to every value, and errors of one line."""

import json
import os
import shutil
import stat
import subprocess

import numpy as np

MAX_BYTES = 1 << 28  # size limit of a plan, compressed or not (docs/formats/json.md)


class Error(Exception):
    """One line: the file and the key, what was expected, what was found, and what to do."""


def shown(value):
    """A short form of a JSON value for an error."""
    text = json.dumps(value, ensure_ascii=True, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def read_file(path):
    """errors  Error naming the path, also for anything but a regular file, which it never opens"""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise Error(f"{path}: not a regular file; name a plan file of dbsp-tune")
        if status.st_size > MAX_BYTES:
            raise Error(f"{path}: {status.st_size} bytes, expected at most {MAX_BYTES}")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Error(f"{path}: cannot be read: {error.strerror}") from None


def _inflate_with_module(data, path, zstandard):
    try:
        out = bytearray()
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        while len(out) <= MAX_BYTES:
            piece = reader.read(1 << 20)
            if not piece:
                return bytes(out)
            out += piece
    except zstandard.ZstdError as error:
        raise Error(f"{path}: damaged zstd data: {error}") from None
    raise Error(f"{path}: more than {MAX_BYTES} bytes after decompression")


def _inflate_with_program(path, program):
    with subprocess.Popen([program, "-dcq", "--", os.fspath(path)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out = process.stdout.read(MAX_BYTES + 1)
        if len(out) > MAX_BYTES:
            process.kill()
            raise Error(f"{path}: more than {MAX_BYTES} bytes after decompression")
        problem = process.stderr.read().decode("utf-8", "replace").split("\n")[0].strip()
        if process.wait() != 0:
            raise Error(f"{path}: damaged zstd data: {problem}")
    return out


def inflate(path, data):
    """The text inside zstd data, by the module zstandard or by the program zstd."""
    try:
        import zstandard
    except ImportError:
        zstandard = None
    if zstandard is not None:
        return _inflate_with_module(data, path, zstandard)
    program = shutil.which("zstd")
    if program is None:
        raise Error(f"{path}: compressed with zstd, and neither the Python module zstandard nor "
                    "the program zstd is here; install one of them, or decompress the plan with "
                    "'zstd -d'")
    return _inflate_with_program(path, program)


def has_checksums(data):
    """Whether every zstd frame carries a checksum. source RFC 8878, sections 3.1.1 and 3.1.2"""
    at = 0
    found = False
    while at + 8 <= len(data):
        magic = int.from_bytes(data[at:at + 4], "little")
        if magic & 0xFFFFFFF0 == 0x184D2A50:  # a skippable frame
            at += 8 + int.from_bytes(data[at + 4:at + 8], "little")
            continue
        descriptor = data[at + 4]
        if not descriptor & 4:
            return False
        found = True
        single = descriptor >> 5 & 1
        size_bytes = (single, 2, 4, 8)[descriptor >> 6]
        at += 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
        last = False
        while not last and at + 3 <= len(data):
            header = int.from_bytes(data[at:at + 3], "little")
            last = bool(header & 1)
            at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        at += 4
    return found


class Number(float):
    """A number with fraction or exponent, and the characters that stood for it."""
    token = ""


def _number(token):
    number = Number(token)
    if not np.isfinite(number):
        raise ValueError(f"a number out of range: {token[:40]}")
    number.token = token
    return number


def _constant(name):
    raise ValueError(f"{name} is no JSON")


def _members(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"key {shown(name)} appears twice")
            seen.add(name)
    return members


def parse(data, origin):
    """shape  bytes to JSON values; floats are Number. errors Error naming the origin"""
    try:
        text = data.decode("utf-8-sig")
        return json.loads(text, parse_float=_number, parse_constant=_constant,
                          object_pairs_hook=_members)
    except UnicodeDecodeError as error:
        raise Error(f"{origin}: byte {error.start} is no UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Error(f"{origin}: no JSON: {str(error) or 'nested too deeply'}") from None


def _as_written_by_dbsp(number):
    """source: nlohmann-json's dump: plain digits for exponents from -4 to 14, else d.ddde+XX"""
    text = repr(float(number))
    mantissa, _, exponent = text.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign + "0.0"
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 15:
        return sign + digits + "0" * (point - len(digits)) + ".0"
    if 0 < point <= 15:
        return sign + digits[:point] + "." + digits[point:]
    if -4 < point <= 0:
        return sign + "0." + "0" * -point + digits
    power = point - 1
    tail = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'-' if power < 0 else '+'}{abs(power):02d}"


def canonical(value, number):
    """Compact JSON with sorted keys, as DumpJson of core/json.h writes it.

    number  text of a Number
    """
    if isinstance(value, dict):
        members = (f"{json.dumps(key, ensure_ascii=False)}:{canonical(value[key], number)}"
                   for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        if all(type(item) is int for item in value):
            return "[" + ",".join(map(str, value)) + "]"
        return "[" + ",".join(canonical(item, number) for item in value) + "]"
    if isinstance(value, Number):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def canonical_texts(value):
    """The texts that may have been hashed: numbers as they stand, and as dbsp writes them.

    dbsp's own files have the first form. Another program may have written a number differently.
    """
    yield canonical(value, lambda number: number.token).encode()
    yield canonical(value, _as_written_by_dbsp).encode()


class View:
    """A JSON value with its path. Methods raise Error where the value is not what they return."""

    def __init__(self, value, origin, path=""):
        self.value = value
        self.origin = origin
        self.path = path

    def wrong(self, expected):
        raise Error(f"{self.origin}: key '{self.path or '(document)'}': expected {expected}, found "
                    f"{shown(self.value)}")

    def has(self, key):
        return isinstance(self.value, dict) and key in self.value

    def __getitem__(self, key):
        if isinstance(key, int):
            return View(self.value[key], self.origin, f"{self.path}[{key}]")
        if not isinstance(self.value, dict):
            self.wrong("an object")
        path = f"{self.path}.{key}" if self.path else key
        if key not in self.value:
            raise Error(f"{self.origin}: key '{path}' is missing")
        return View(self.value[key], self.origin, path)

    def members(self, required, optional=()):
        """Refuses members that are missing and members that are not known."""
        if not isinstance(self.value, dict):
            self.wrong("an object")
        for key in required:
            self[key]
        for key in self.value:
            if key not in required and key not in optional:
                self[key].wrong(f"no such member; known are {', '.join((*required, *optional))}")
        return self

    def items(self, size=None):
        if not isinstance(self.value, list):
            self.wrong("a list")
        if size is not None and len(self.value) != size:
            self.wrong(f"a list of {size} entries")
        return [self[i] for i in range(len(self.value))]

    def text(self):
        if not isinstance(self.value, str):
            self.wrong("a string")
        return self.value

    def one_of(self, names):
        if self.text() not in names:
            self.wrong(f"one of {', '.join(names)}")
        return self.value

    def integer(self, low, high):
        if type(self.value) is not int or not low <= self.value <= high:
            self.wrong(f"an integer from {low} to {high}")
        return self.value

    def number(self, low=0.0, high=float("inf")):
        if type(self.value) not in (int, Number) or not low <= self.value <= high:
            self.wrong(f"a number from {low:g} to {high:g}")
        return float(self.value)

    def integers(self, low, high):
        """shape  [entries] int64"""
        if not isinstance(self.value, list):
            self.wrong("a list of integers")
        for i, item in enumerate(self.value):
            if type(item) is not int or not low <= item <= high:
                self[i].integer(low, high)
        return np.array(self.value, np.int64)
