#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Orders of heads on random and on measured profiles."""

import itertools
import os
import unittest

import support

support.require("numpy")
import numpy as np  # noqa: E402

import dbsp  # noqa: E402
from dbsp import heads  # noqa: E402

SPARGE = os.path.join(os.path.dirname(support.ROOT), "shared", "data", "wan14b_sparge_density",
                      "head_density_30x40x40.npy")


class OrderTest(unittest.TestCase):
    def test_groups_have_the_sizes_of_padded_ulysses(self):
        self.assertEqual(heads.group_sizes(40, 8).tolist(), [5] * 8)
        self.assertEqual(heads.group_sizes(12, 8).tolist(), [2] * 6 + [0, 0])
        self.assertEqual(heads.group_sizes(7, 3).tolist(), [3, 3, 1])

    def test_rho_is_busiest_over_mean(self):
        counts = np.array([[[4, 0, 1, 1], [1, 1, 1, 1]]])
        self.assertAlmostEqual(dbsp.rho(counts, np.arange(4), 2), (4 + 2) / (3 + 2))
        self.assertAlmostEqual(dbsp.rho(counts, [[0, 1, 2, 3], [0, 2, 1, 3]], 4), (4 + 1) / 2.5)
        self.assertEqual(dbsp.rho(np.zeros((1, 2, 4)), np.arange(4), 2), 1.0)

    def test_the_order_is_the_best_of_all_on_small_layers(self):
        rng = np.random.default_rng(1)
        for _ in range(10):
            counts = rng.integers(0, 50, (3, 1, 6))
            best = min(dbsp.rho(counts, [order], 3) for order in itertools.permutations(range(6)))
            self.assertAlmostEqual(dbsp.rho(counts, dbsp.static_head_order(counts, 3), 3), best)

    def test_orders_are_permutations_and_equal_counts_give_equal_orders(self):
        counts = np.random.default_rng(2).integers(0, 99, (4, 3, 10))
        for ranks in (1, 2, 3, 4, 10):
            orders = dbsp.static_head_order(counts, ranks)
            np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(10), (3, 1)))
            np.testing.assert_array_equal(orders, dbsp.static_head_order(counts.copy(), ranks))
            self.assertLessEqual(dbsp.rho(counts, orders, ranks),
                                 dbsp.rho(counts, np.arange(10), ranks))

    def test_prompts_count_as_more_steps(self):
        counts = np.random.default_rng(3).integers(0, 99, (2, 4, 3, 8))
        orders = dbsp.static_head_order(counts, 4)
        np.testing.assert_array_equal(orders, dbsp.static_head_order(counts.reshape(8, 3, 8), 4))
        self.assertLess(dbsp.rho(counts, orders, 4), dbsp.rho(counts, np.arange(8), 4))

    def test_heads_stay_in_their_tensor_parallel_shard(self):
        counts = np.random.default_rng(4).integers(0, 99, (4, 3, 12))
        orders = dbsp.static_head_order(counts, 3, tensor_parallel=2)
        np.testing.assert_array_equal(orders // 6, np.tile(np.repeat([0, 1], 6), (3, 1)))

    def test_a_snake_deals_forth_and_back(self):
        order = dbsp.snake_order(np.array([8, 7, 6, 5, 4, 3, 2, 1]), 4)
        self.assertEqual(order.tolist(), [0, 7, 1, 6, 2, 5, 3, 4])

    def test_what_is_no_count_is_refused(self):
        good = np.ones((2, 2, 4))
        for counts, ranks, options in ((good, 0, {}), (good, 5, {}), (-good, 2, {}),
                                       (good * np.nan, 2, {}), (good[0, 0], 2, {}),
                                       (good, 2, {"tensor_parallel": 3}),
                                       (good, 3, {"tensor_parallel": 2})):
            with self.assertRaises(dbsp.Error):
                dbsp.static_head_order(counts, ranks, **options)
        with self.assertRaisesRegex(dbsp.Error, "do not divide 4 heads"):
            dbsp.snake_order(good, 3)


class CountsTest(unittest.TestCase):
    """dbsp-workload export --counts, from which orders are made."""

    def setUp(self):
        self.plans = support.Plans()
        self.addCleanup(self.plans.close)
        self.workload = self.plans.workload(
            "counts", "--heads", 6, "--layers", 3, "--steps", 2, "--tokens", 1000, "--block",
            "32x16", "--mask", "random:density=0.3,spread=0.8,dense_steps=1")

    def test_counts_are_those_of_the_masks(self):
        path = self.plans.path("counts.npy")
        done = support.tool("dbsp-workload", "export", self.workload, "--counts", "-o", path)
        self.assertIn("active blocks, int64 [2, 3, 6], all cells of", done.stdout)
        counts = np.load(path)
        for step, layer in itertools.product(range(2), range(3)):
            masks = self.plans.masks(self.workload, step, layer)
            np.testing.assert_array_equal(counts[step, layer], masks.sum(axis=(1, 2)))
        support.tool("dbsp-workload", "export", self.workload, "--counts", "-o",
                     self.plans.path("counts.npz"))
        with np.load(self.plans.path("counts.npz")) as file:
            np.testing.assert_array_equal(file["counts"], counts)
        again = self.plans.workload(
            "again", "--heads", 6, "--layers", 3, "--steps", 2, "--tokens", 1000, "--block", "32x16",
            "--mask", f"density:file={path}")
        support.tool("dbsp-workload", "export", again, "--counts", "-o", self.plans.path("2.npy"))
        np.testing.assert_array_equal(np.load(self.plans.path("2.npy")), counts)

    def test_a_cell_is_named_by_step_and_layer_and_excludes_counts(self):
        for flags, word in ((["--step", 0], "--layer is missing"), ([], "--step is missing"),
                            (["--counts", "--step", 0], "excludes"),
                            (["--step", 2, "--layer", 0], "expected less than 2 steps")):
            path = self.plans.path("refused.npy")
            done = support.tool("dbsp-workload", "export", self.workload, *flags, "-o", path, code=2)
            self.assertIn(word, done.stderr)
            self.assertFalse(os.path.exists(path))


class MeasuredTest(unittest.TestCase):
    """Eight ranks. The limits are of the sums over all steps and layers of the profiles."""

    def check(self, counts, contiguous, most):
        self.assertAlmostEqual(dbsp.rho(counts, np.arange(40), 8), contiguous, places=2)
        self.assertLessEqual(dbsp.rho(counts, dbsp.static_head_order(counts, 8), 8), most)
        even = dbsp.static_head_order(counts[::2], 8)
        self.assertLessEqual(dbsp.rho(counts[1::2], even, 8), 1.04)
        snake = dbsp.snake_order(counts, 8)
        self.assertGreater(dbsp.rho(counts[1:], snake[:-1], 8), dbsp.rho(counts[1::2], even, 8))

    def test_svoo_wan_14b(self):
        self.check(np.load(os.path.join(support.DATA, "svoo", "wan_14B_t2v.npy")), 1.64, 1.040)

    @unittest.skipUnless(os.path.exists(SPARGE), "measured files are not here")
    def test_spargeattn_wan_14b(self):
        self.check(np.load(SPARGE), 1.39, 1.035)


if __name__ == "__main__":
    support.run_tests()
