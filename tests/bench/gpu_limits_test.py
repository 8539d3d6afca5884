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
SPEEDS = ("kernels against fp64", "dense, d 128", "dense, d 64", "block-sparse 128x128, of dense",
          "block-sparse 64x64, of dense", "gather, of dense", "gather, runs of 8, of dense", "portable, dense d 128",
          "merge, pack, unpack, of a copy", "over cuDNN, dense d 128", "over FlexAttention, 128x128",
          "over FlexAttention, 64x64")
LINES = ("repeated medians of one kernel", "CUPTI Activity on a replay", "quick suite", "full suite",
         "serial replay, 8 ranks, verified", "replay over NCCL, one rank", "two ranks on one GPU")


def timed(group, mask, kernel, **values):
    return {"part": "speed", "group": group, "mask": mask, "kernel": kernel, "median_ns": 1, **values}


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
        self.tables = {
            "correct.jsonl": [{"part": "correct", "kernel": "sm90.a", "case": 0, "ok": True},
                              {"part": "correct", "kernel": "sm80.b", "case": 0, "ok": True}],
            "speed.jsonl": [
                timed("dense d128 16384 tokens 40 heads", "dense", "sm90.a", tflops=700, expected_tflops=640),
                timed("dense d128 16384 tokens 40 heads", "dense", "sm90.slow", tflops=500, expected_tflops=640),
                timed("dense d128 16384 tokens 40 heads", "dense", "torch.cudnn", ours_is_faster_by=0.97,
                      expected_faster_by=0.95),
                timed("dense d64 16384 tokens 40 heads", "dense", "sm90.a", tflops=431, expected_tflops=430),
                timed("portable d128 16384 tokens 24 heads", "dense", "sm80.b", tflops=310, expected_tflops=300),
                timed("wan 720p 128x128", "random 0.50", "sm90.a", of_dense=0.96, expected_of_dense=0.95),
                timed("wan 720p 128x128", "random 0.50", "torch.flex", ours_is_faster_by=1.6, expected_faster_by=1.5),
                timed("wan 720p sta 128x128", "sta 3x3x5", "sm90.a", of_dense=0.9, expected_of_dense=0.85),
                timed("wan 720p 64x64", "radial", "sm90.a", of_dense=0.7, expected_of_dense=0.65),
                timed("wan 720p 64x64", "radial", "torch.flex", ours_is_faster_by=1.31, expected_faster_by=1.3),
                timed("gather", "keys 0.10", "sm90.g", of_dense=0.8, expected_of_dense=0.75),
                timed("gather", "runs of 8, 0.10", "sm90.g", of_dense=0.81, expected_of_dense=0.8),
                {"part": "speed", "group": "memory", "kernel": "device copy", "median_ns": 1, "of_copy": 1,
                 "expected_of_copy": 0},
                {"part": "speed", "group": "memory", "kernel": "pack Q, K, V", "median_ns": 1, "of_copy": 0.9,
                 "expected_of_copy": 0.85}],
            "names.txt": "sm90.a\nsm80.b\nmemory\nlists\nsla\n"}
        self.repeat = [{"part": "device"}, {"part": "repeat", "kernel": "k", "medians_ns": [1, 1], "spread": 0.004}]

    def judge(self, *flags):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files.items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    json.dump(content, file)
            for name, content in self.tables.items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(content if isinstance(content, str) else "".join(json.dumps(i) + "\n" for i in content))
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
        self.assertEqual(list(verdicts), list(SPEEDS + LINES))
        self.assertEqual({verdict for verdict, _ in verdicts.values()}, {"met"})
        for line in SPEEDS + LINES:
            self.assertIn(line, text)
        self.assertNotIn("smoke", text)
        self.assertIn("these times mean nothing", Folder().judge("--smoke")[0])

    def test_an_empty_folder_reaches_nothing(self):
        folder = Folder()
        folder.clock, folder.files, folder.repeat, folder.tables = [], {}, [], {}
        _, verdicts = folder.judge()
        self.assertEqual({verdict for verdict, _ in verdicts.values()}, {"not reached"})
        self.assertEqual(verdicts["full suite"][1], "part full was not run")

    def test_the_kernels_that_are_wrong_left_out_or_unchecked_are_named(self):
        folder = Folder()
        folder.tables["correct.jsonl"].append({"part": "correct", "kernel": "sm80.b", "case": 1, "ok": False})
        self.assertEqual(self.verdict(folder, SPEEDS[0]), ("missed", "1 of 2 kernels right in 3 cases; WRONG: sm80.b"))
        folder = Folder()
        folder.tables["left-out.txt"] = "sm80.b\tdbsp: sm80.b: not done on the device\n"
        self.assertEqual(self.verdict(folder, SPEEDS[0])[0], "missed")
        self.assertIn("fault or hang: sm80.b", self.verdict(folder, SPEEDS[0])[1])
        folder = Folder()
        folder.tables["names.txt"] += "sm90.c\n"
        self.assertEqual(self.verdict(folder, SPEEDS[0])[0], "not reached")
        self.assertIn("not checked: sm90.c", self.verdict(folder, SPEEDS[0])[1])

    def test_the_lowest_item_with_its_fastest_kernel_decides_a_speed(self):
        folder = Folder()
        self.assertIn("lowest 700 TFLOP/s of 640", self.verdict(folder, SPEEDS[1])[1])
        folder.tables["speed.jsonl"].append(
            timed("wan 720p 128x128", "radial", "sm90.a", of_dense=0.8, expected_of_dense=0.85))
        self.assertEqual(self.verdict(folder, SPEEDS[3]), ("missed", "lowest 0.8 of 0.85 (radial); 2 of 3 reached"))
        folder.tables["speed.jsonl"].append(
            timed("wan 720p 128x128", "radial", "sm90.a", of_dense=0.86, expected_of_dense=0.85))
        self.assertEqual(self.verdict(folder, SPEEDS[3])[0], "met", "the newest result of an item counts")
        folder.tables["speed.jsonl"].append(
            timed("wan 720p 64x64", "radial", "torch.flex", ours_is_faster_by=1.2, expected_faster_by=1.3))
        self.assertEqual(self.verdict(folder, SPEEDS[11])[0], "missed")

    def test_a_speed_that_was_not_reached_has_a_reason(self):
        folder = Folder()
        speeds = folder.tables["speed.jsonl"]
        folder.tables["speed.jsonl"] = [line for line in speeds if "torch" not in line["kernel"]]
        folder.tables["speed.jsonl"] += [{"part": "speed", "peers_unavailable": "PyTorch is not installed"}]
        self.assertEqual(self.verdict(folder, SPEEDS[9]), ("not reached", "PyTorch is not installed"))
        folder.tables["speed.jsonl"] = [line for line in speeds if line["group"] != "gather"] + [
            {"part": "speed", "group": "gather", "skipped": "no time was left"}]
        self.assertEqual(self.verdict(folder, SPEEDS[5]), ("not reached", "no time was left"))
        folder.tables["speed.jsonl"] = []
        self.assertEqual(self.verdict(folder, SPEEDS[1]), ("not reached", "part speed was not run"))

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
