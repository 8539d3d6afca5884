#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Verdicts of scripts/lib/gpu-limits on folders of results."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(ROOT, "scripts", "lib", "gpu-limits")
FAMILIES = ("ulysses", "ring", "dbsp", "balanced", "placed")
LINES = ("repeated medians of one kernel", "CUPTI Activity on a replay", "quick suite", "full suite",
         "serial replay, 8 ranks, verified", "replay over NCCL, one rank", "two ranks on one GPU")
VERIFIED = {"verification": {"passed": True, "relative_error": 2e-3}}


class Folder:
    """Results of a run that met every limit; tests change one of them."""

    def __init__(self):
        self.clock = [("profile", 25.0, 0), ("full", 300.0, 0), ("replay-cupti", 6.0, 0), ("one-rank", 9.0, 0),
                      ("two-ranks", 12.0, 0)] + [(f"replay-radial-{f}", 7.5, 0) for f in FAMILIES]
        suite = {"measured": 91, "reused": 0, "failed": 0, "left_out": 0}
        self.files = {"profile.json": suite, "full.json": dict(suite), "replay-one-rank.json": VERIFIED,
                      "replay-cupti.json": {"trace_overhead": {"pairs": 5, "plain_ns": 100000000,
                                                               "traced_ns": 101000000, "relative": 0.01},
                                            "cells": []}}
        self.files.update({f"replay-radial-{f}.json": VERIFIED for f in FAMILIES})
        self.repeat = [{"part": "device"}, {"part": "repeat", "kernel": "k", "medians_ns": [1, 1], "spread": 0.004}]

    def judge(self, *flags):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files.items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    json.dump(content, file)
            with open(os.path.join(folder, "seconds.jsonl"), "w", encoding="utf-8") as file:
                for what, seconds, status in self.clock:
                    file.write(json.dumps({"what": what, "seconds": seconds, "status": status}) + "\n")
            with open(os.path.join(folder, "repeat.jsonl"), "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in self.repeat)
                file.write('{"part": "repeat", "spre')  # an incomplete last line
            run = subprocess.run([sys.executable, TOOL, folder, *flags], capture_output=True, text=True, check=True)
            with open(os.path.join(folder, "limits.json"), encoding="utf-8") as file:
                written = json.load(file)
        return run.stdout, {row["line"]: (row["verdict"], row["measured"]) for row in written["limits"]}


class GpuLimits(unittest.TestCase):
    def verdict(self, folder, line):
        return folder.judge()[1][line]

    def test_all_lines_are_met(self):
        text, verdicts = Folder().judge()
        self.assertEqual(list(verdicts), list(LINES))
        self.assertEqual({verdict for verdict, _ in verdicts.values()}, {"met"})
        for line in LINES:
            self.assertIn(line, text)
        self.assertNotIn("smoke", text)
        self.assertIn("these times mean nothing", Folder().judge("--smoke")[0])

    def test_an_empty_folder_reaches_nothing(self):
        folder = Folder()
        folder.clock, folder.files, folder.repeat = [], {}, []
        _, verdicts = folder.judge()
        self.assertEqual({verdict for verdict, _ in verdicts.values()}, {"not reached"})
        self.assertEqual(verdicts["full suite"][1], "part full was not run")

    def test_a_large_spread_is_missed_and_the_newest_result_counts(self):
        folder = Folder()
        folder.repeat.append(dict(folder.repeat[-1], spread=0.0101))
        self.assertEqual(self.verdict(folder, LINES[0])[0], "missed")
        self.assertIn("1.01%", self.verdict(folder, LINES[0])[1])
        folder.repeat.append(dict(folder.repeat[-1], spread=0.01))
        self.assertEqual(self.verdict(folder, LINES[0])[0], "met")

    def test_a_large_trace_overhead_is_missed_and_a_missing_cupti_is_not_reached(self):
        folder = Folder()
        folder.files["replay-cupti.json"]["trace_overhead"]["relative"] = 0.031
        self.assertEqual(self.verdict(folder, LINES[1])[0], "missed")
        folder.files["replay-cupti.json"] = {
            "trace_overhead": None, "cells": [{"activity": {"problem": "libcupti.so.13: not found"}}]}
        self.assertEqual(self.verdict(folder, LINES[1]), ("not reached", "libcupti.so.13: not found"))

    def test_suites(self):
        folder = Folder()
        folder.clock.append(("profile", 180.5, 0))
        self.assertEqual(self.verdict(folder, "quick suite")[0], "missed")
        folder.clock.append(("full", 420.0, 124))
        self.assertEqual(self.verdict(folder, "full suite"), ("not reached", "cut off after 420 s"))
        folder.clock.append(("profile", 95.0, 0))
        folder.files["profile.json"]["left_out"] = 3
        self.assertEqual(self.verdict(folder, "quick suite"), ("not reached", "3 trials left out after 95 s"))
        folder.files["profile.json"].update(left_out=0, failed=1)
        self.assertEqual(self.verdict(folder, "quick suite")[0], "missed")
        folder.files["profile.json"].update(failed=0, reused=5)
        self.assertEqual(self.verdict(folder, "quick suite")[0], "not reached")

    def test_the_slowest_replay_counts_and_must_be_right(self):
        folder = Folder()
        folder.clock.append(("replay-radial-placed", 10.4, 0))
        self.assertEqual(self.verdict(folder, LINES[4]), ("missed", "10.4 s, the slowest of 5 families"))
        folder.clock.append(("replay-radial-placed", 40.0, 124))
        self.assertEqual(self.verdict(folder, LINES[4])[0], "met")
        self.assertIn("1 not reached", self.verdict(folder, LINES[4])[1])
        folder.clock.append(("replay-radial-ring", 3.0, 1))
        self.assertEqual(self.verdict(folder, LINES[4])[0], "missed")
        self.assertIn("NOT all verified", self.verdict(folder, LINES[4])[1])

    def test_ranks(self):
        folder = Folder()
        folder.clock.append(("one-rank", 5.0, 1))
        self.assertEqual(self.verdict(folder, LINES[5]), ("missed", "exit 1"))
        folder.clock.append(("one-rank", 5.0, 3))
        self.assertEqual(self.verdict(folder, LINES[5])[0], "not reached")
        folder.clock.append(("two-ranks", 5.0, 1))
        self.assertEqual(self.verdict(folder, LINES[6])[0], "tried")


if __name__ == "__main__":
    unittest.main()
