#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dbsp.exchange against the planner: bytes of every round, hop and rank."""

import json
import unittest

import support

support.require("numpy")
import grid_plans  # noqa: E402
import numpy as np  # noqa: E402

import dbsp  # noqa: E402


def moved(schedule):
    """{(rank, kind, index): bytes} as in the segments of a prediction; zeros left out."""
    found = {}
    for index, one in enumerate(schedule.before + schedule.after):
        total = one.bytes()
        for rank in range(schedule.ranks):
            found[rank, "pack", index] = total[rank].sum()
            found[rank, "exchange", index] = total[rank].sum() - total[rank, rank]
            found[rank, "unpack", index] = total[:, rank].sum()
    for step, row in enumerate(schedule.hop_bytes()):
        for rank, value in enumerate(row):
            found[rank, "hop", step] = value
    return {key: int(value) for key, value in found.items() if value}


class ExchangeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plans = support.Plans()

    @classmethod
    def tearDownClass(cls):
        cls.plans.close()

    def compare(self, workload, path):
        """Compares every cell with its prediction. Returns the (family, exchange) that it saw."""
        plan = dbsp.load(path)
        seen = set()
        for at in plan.cells:
            cell = plan.cell(*at)
            schedule = cell.exchanges(plan.permuted(self.plans.masks(workload, *at)))
            expected = {(segment[0], segment[1], segment[2]): segment[5]
                        for segment in cell.prediction()["segments"]
                        if segment[1] not in ("attention", "merge") and segment[5]}
            self.assertEqual(moved(schedule), expected, (path, at, cell.strategy))
            seen.add((cell.strategy.family, cell.strategy.exchange))
        return seen

    def test_bytes_are_those_of_the_plans_that_a_search_chooses(self):
        seen = set()
        small = self.plans.workload(
            "small", "--heads", 12, "--layers", 2, "--steps", 2, "--head-dim", 16, "--tokens", 1000,
            "--block", "32x16", "--passes", 2, "--mask", "random:density=0.3,spread=0.8")
        large = self.plans.workload(
            "large", "--heads", 12, "--layers", 1, "--steps", 1, "--head-dim", 64, "--tokens",
            65530, "--block", "128x64", "--mask", "random:density=0.05,spread=0.8,pattern=band")
        for workload in (small, large):
            for family in ("ulysses", "ring", "usp", "dbsp", "balanced", "placed"):
                for ranks in (4, 8):
                    seen |= self.compare(workload, self.plans.plan(
                        workload, ranks, "--families", family, "--chunks", 1))
        for workload, ranks, family in ((small, 8, "placed"), (large, 4, "balanced")):
            seen |= self.compare(workload, self.plans.plan(workload, ranks, "--families", family,
                                                           "--chunks", 2))
        for pair in (("ulysses", "alltoall"), ("ring", "needed"), ("ring", "ring"), ("usp", "ring"),
                     ("balanced", "ring"), ("placed", "needed"), ("dbsp", "alltoall")):
            self.assertIn(pair, seen)

    def test_replay_accepts_the_lists_of_every_family_and_exchange(self):
        rng = np.random.default_rng(5)
        masks = rng.random((12, 32, 63)) < np.linspace(0.02, 0.8, 12)[:, None, None]
        masks[3] = False
        masks[7, 10:20] = False
        np.save(self.plans.path("masks.npy"), masks)
        workload = self.plans.workload(
            "array", "--heads", 12, "--layers", 8, "--steps", 4, "--head-dim", 8, "--tokens", 1000,
            "--block", "32x16", "--mask", "array:file=" + self.plans.path("masks.npy"))
        for ranks in (4, 8):
            base = self.plans.plan(workload, ranks, "--families", "ulysses", "--chunks", 1)
            path = grid_plans.make(base, masks, self.plans.path(f"grid{ranks}.json"))
            replayed = support.tool("dbsp-replay", "-q", path, "--cells", "all", "--repeat", 1,
                                    "--warmup", 0, "--verify", "--json")
            report = json.loads(replayed.stdout)
            self.assertEqual(report["cells_run"], 32)
            self.assertTrue(report["verification"]["passed"])
            for kind, index in (("pack", 0), ("exchange", 1), ("unpack", 1)):
                wrong = support.read(path)
                segment = next(s for p in wrong["predictions"] for s in p["segments"]
                               if s[1] == kind and s[2] == index)
                segment[5] += 16
                support.write(self.plans.path("wrong.json"), wrong)
                refused = support.tool("dbsp-replay", "-q", self.plans.path("wrong.json"),
                                       "--cells", "all", code=2)
                self.assertIn("segments", refused.stderr)

    def test_needed_without_masks_is_refused(self):
        workload = self.plans.workload(
            "tiny", "--heads", 4, "--layers", 1, "--steps", 1, "--head-dim", 16, "--tokens", 1000,
            "--block", "32x16", "--mask", "random:density=0.1,pattern=band")
        plan = dbsp.load(self.plans.plan(workload, 4, "--families", "ring", "--chunks", 1))
        cell = plan.cell(0, 0)
        self.assertEqual(cell.strategy.exchange, "needed")
        with self.assertRaisesRegex(dbsp.Error, "give the masks"):
            cell.exchanges()

    def test_items_of_a_pair_are_sorted_and_add_up(self):
        workload = self.plans.workload(
            "pairs", "--heads", 4, "--layers", 1, "--steps", 1, "--head-dim", 8, "--tokens", 500,
            "--block", "32x16", "--mask", "dense")
        plan = dbsp.load(self.plans.plan(workload, 4, "--families", "ulysses", "--chunks", 1))
        one = plan.cell(0, 0).exchanges().before[0]
        blocks = one.blocks()
        for src in range(4):
            for dst in range(4):
                items = one.items(src, dst).tolist()
                self.assertEqual(items, sorted(items))
                self.assertEqual(len(items), blocks[src, dst])
        self.assertEqual(blocks.sum(), 4 * (16 + 2 * 32))


if __name__ == "__main__":
    support.run_tests()
