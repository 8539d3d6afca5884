# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of python/dbsp: the tools, plans that they make, and skips with a reason."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "python"))
DATA = os.path.join(ROOT, "tests", "data")
SKIPPED = 77


def require(*modules):
    """Ends the test program as skipped when this Python lacks a module."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            print(f"skipped: this Python has no {name}")
            sys.exit(SKIPPED)


def run_tests():
    rest = [argument for argument in sys.argv[1:] if not os.path.isdir(argument)]
    unittest.main(argv=[sys.argv[0], *rest], verbosity=1)


def _bin_folder():
    folders = [argument for argument in sys.argv[1:] if os.path.isdir(argument)]
    return folders[0] if folders else os.path.join(ROOT, "build", "dev", "bin")


def tool(name, *arguments, code=0):
    """Runs a tool of the build and returns its completed process.

    errors  AssertionError when it ends with another exit code
    """
    command = [os.path.join(_bin_folder(), name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, f"{' '.join(command)}: exit {done.returncode}: {done.stderr}"
    return done


class Plans:
    """Workloads and plans in a temporary folder, each made once."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._masks = {}

    def close(self):
        self._folder.cleanup()

    def path(self, name):
        return os.path.join(self._folder.name, name)

    def workload(self, name, *flags):
        path = self.path(name + ".json")
        if not os.path.exists(path):
            tool("dbsp-workload", "make", *flags, "-o", path)
        return path

    def plan(self, workload, ranks, *flags, suffix=".json"):
        name = os.path.basename(workload)[:-5]
        text = "_".join(map(str, flags)).replace("/", "")
        path = self.path(f"plan-{name}-{ranks}-{text}{suffix}")
        if not os.path.exists(path):
            tool("dbsp-tune", "-q", "--workload", workload, "--cluster", "h200x8", "--ranks", ranks,
                 "--threads", 1, *flags, "-o", path)
        return path

    def masks(self, workload, step, layer):
        """shape  bool [heads, q_blocks, k_blocks]"""
        import numpy as np
        key = (workload, step, layer)
        if key not in self._masks:
            path = self.path(f"masks-{len(self._masks)}.npy")
            tool("dbsp-workload", "export", workload, "--step", step, "--layer", layer, "-o", path)
            self._masks[key] = np.load(path).astype(bool)
        return self._masks[key]


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write(path, document):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return path
