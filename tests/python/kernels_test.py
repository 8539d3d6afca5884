#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Python functions as kernels of dbsp-profile, dbsp-tune and dbsp-replay."""

import importlib.util
import json
import os
import subprocess
import sys
import unittest

import support

support.require("numpy")

HERE = os.path.dirname(os.path.abspath(__file__))
NUMPY = "python:" + os.path.join(HERE, "numpy_kernels.py")
TORCH = "python:" + os.path.join(HERE, "torch_kernels.py")


class KernelsTest(unittest.TestCase):
    def setUp(self):
        self.plans = support.Plans()
        self.addCleanup(self.plans.close)
        self.workload = self.plans.workload(
            "kernels", "--heads", 4, "--layers", 1, "--steps", 1, "--head-dim", 16, "--tokens", 250,
            "--block", "32x32", "--mask", "random:density=0.4,seed=3")
        self.db = self.plans.path("p.db")

    def run_tool(self, name, *arguments, code=0, **variables):
        """A tool with this interpreter and python/ in its path."""
        command = [os.path.join(support._bin_folder(), name), *map(str, arguments)]
        environment = dict(os.environ, DBSP_PYTHON=sys.executable,
                           PYTHONPATH=os.path.join(support.ROOT, "python"))
        environment.update(variables)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300,
                              env=environment)
        self.assertEqual(done.returncode, code, f"{' '.join(command)}: {done.stderr}")
        return done

    def profile(self, kernels, kernel, enough, code=0, **variables):
        """Attention trials of all runs. A slow machine needs several runs until they are enough."""
        trials = []
        for _ in range(20):
            done = self.run_tool(
                "dbsp-profile", "-q", "--db", self.db, "--workload", self.workload, "--ranks", 2,
                "--kernels", kernels, "--kernel", kernel, "--budget", "4s", "--json", code=code,
                **variables)
            trials += [trial for trial in json.loads(done.stdout)["trials"]
                       if trial["what"].startswith("attention") and "outcome" in trial]
            if enough(trials):
                return trials
        self.fail(f"{kernel}: only {len(trials)} trials")

    @staticmethod
    def six(trials):
        return len(trials) >= 6

    def tune(self, kernels, *more):
        plan = self.plans.path("plan.json")
        self.run_tool("dbsp-tune", "-q", "--workload", self.workload, "--db", self.db, "--ranks", 2,
                      "--kernels", kernels, "-o", plan, *more)
        return plan

    def test_every_mask_form_is_measured_planned_and_replayed(self):
        for name in ("np.csr", "np.padded", "np.dense", "np.keys"):
            self.db = self.plans.path(name + ".db")
            self.profile(NUMPY, name, self.six)
            plan = self.tune(NUMPY)
            kernels = [one["kernel"] for one in support.read(plan)["strategies"]]
            self.assertTrue(all(one.startswith(name + "@2#") for one in kernels), kernels)
            for transport in ("serial", "threads"):
                done = self.run_tool("dbsp-replay", plan, "--verify", "--repeat", 1, "--transport",
                                     transport, "--kernels", NUMPY)
                self.assertIn("verified    passed", done.stdout)

    def test_every_fault_is_a_failed_trial_of_its_kernel(self):
        names = ("bad.raise", "bad.exit", "bad.wrong", "bad.prepare", "np.csr")
        trials = self.profile(
            NUMPY, "@", lambda trials: all(any(name in trial["what"] for trial in trials)
                                           for name in names), code=1, DBSP_TEST_BROKEN="1")
        found = {name: [trial for trial in trials if name in trial["what"]] for name in names}
        text = {name: found[name][0]["detail"] for name in names}
        self.assertIn("RuntimeError: the user's kernel", text["bad.raise"])
        self.assertIn("numpy_kernels.py, line", text["bad.raise"])
        self.assertIn("ended with exit code 3", text["bad.exit"])
        self.assertIn("relative error of 3 rows", text["bad.wrong"])
        self.assertIn("prepare returned NoneType", text["bad.prepare"])
        self.assertEqual({trial["outcome"] for trial in found["np.csr"]}, {"ok"})

    def test_a_file_with_a_fault_is_one_line(self):
        cases = {"syntax.py": ("def f(:\n", "line 1: invalid syntax"),
                 "raises.py": ("x = 1\nraise KeyError('y')\n", "line 2: KeyError: 'y'"),
                 "none.py": ("x = 1\n", "no kernel: decorate a function"),
                 "form.py": ("from dbsp.kernels import kernel\n@kernel('a', mask='b')\n"
                             "def f(call):\n    pass\n", "mask 'b': expected one of csr"),
                 "name.py": ("from dbsp.kernels import kernel\n@kernel('a b')\n"
                             "def f(call):\n    pass\n", "name is 'a b', expected")}
        for name, (text, words) in cases.items():
            path = self.plans.path(name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            done = self.run_tool("dbsp-profile", "--db", self.db, "--kernels", "python:" + path,
                                 code=2)
            self.assertIn("dbsp-profile: error: --kernels python:" + path, done.stderr)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertFalse(os.path.exists(self.db))
        done = self.run_tool("dbsp-profile", "--db", self.db, "--kernels", "python:absent.py", code=2)
        self.assertIn("--kernels absent.py: no such file", done.stderr)

    def test_an_interpreter_without_the_package_says_what_to_do(self):
        done = self.run_tool("dbsp-replay", "plan.json", "--kernels", NUMPY, code=3, PYTHONPATH="")
        self.assertIn("has no module dbsp", done.stderr)
        done = self.run_tool("dbsp-replay", "plan.json", "--kernels", NUMPY, code=3,
                             DBSP_PYTHON="/absent/python")
        self.assertIn("cannot start /absent/python", done.stderr)

    @unittest.skipIf(importlib.util.find_spec("torch") is None, "this Python has no torch")
    def test_a_torch_kernel_is_measured_planned_and_replayed(self):
        self.profile(TORCH, "torch.block", self.six)
        plan = self.tune(TORCH)
        self.assertIn("torch.block@", support.read(plan)["strategies"][0]["kernel"])
        done = self.run_tool("dbsp-replay", plan, "--verify", "--repeat", 1, "--kernels", TORCH)
        self.assertIn("verified    passed", done.stdout)


if __name__ == "__main__":
    support.run_tests()
