#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dbsp.load: plans of dbsp-tune, damaged plans, and the parts of a plan."""

import json
import os
import shutil
import struct
import subprocess
import sys
import unittest
from unittest import mock

import support

support.require("numpy")
import numpy as np  # noqa: E402

import dbsp  # noqa: E402
from dbsp import _input  # noqa: E402
from dbsp._xxh3 import xxh3_128  # noqa: E402


class Xxh3Test(unittest.TestCase):
    def test_long_texts_have_the_hashes_of_the_library(self):
        data = bytes((i * 7 + i // 256) % 256 for i in range(5000))
        for size, expected in ((241, "75f4da43f23cce5a541b19226f0052e8"),
                               (1024, "a3da96fbd688736171bee625238addb4"),
                               (1025, "a53cd4fd16206676d9b414f4e1bbf7ad"),
                               (1089, "518e6d0338d868826acaa6909cdbe786"),
                               (5000, "e814573b3db786c4ed0146266d138bd8")):
            self.assertEqual(xxh3_128(data[:size]), expected)

    def test_short_texts_are_refused(self):
        self.assertRaises(ValueError, xxh3_128, bytes(240))


class NumberTest(unittest.TestCase):
    def test_numbers_have_the_form_that_dbsp_writes(self):
        for value, text in ((1.0, "1.0"), (0.0, "0.0"), (-0.0, "-0.0"), (0.1, "0.1"),
                            (-2.5, "-2.5"), (1e-4, "0.0001"), (1.5e-5, "1.5e-05"),
                            (1e14, "100000000000000.0"), (1e15, "1e+15"), (123456.75, "123456.75"),
                            (1.25e300, "1.25e+300"), (4e-300, "4e-300"), (1e22, "1e+22")):
            number = _input._number(repr(value))
            self.assertEqual(_input._as_written_by_dbsp(number), text)


class PlanCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plans = support.Plans()
        cls.workload = cls.plans.workload(
            "random", "--heads", 12, "--layers", 2, "--steps", 2, "--head-dim", 16, "--tokens",
            1000, "--block", "32x16", "--mask", "random:density=0.3,spread=0.8")

    @classmethod
    def tearDownClass(cls):
        cls.plans.close()

    def placed(self, suffix=".json"):
        return self.plans.plan(self.workload, 8, "--families", "placed", "--chunks", 1,
                               suffix=suffix)

    def refused(self, path, *words):
        with self.assertRaises(dbsp.Error) as caught:
            dbsp.load(path)
        text = str(caught.exception)
        self.assertNotIn("\n", text)
        for word in (os.path.basename(path), *words):
            self.assertIn(word, text)


class LoadTest(PlanCase):
    def edited(self, edit, hashed=False):
        """A plan with a change. Its hash is removed, so that the change itself is found."""
        document = support.read(self.placed())
        if not hashed:
            del document["content_hash"]
        edit(document)
        return support.write(self.plans.path("edited.json"), document)

    def test_a_plan_and_its_compressed_form_are_equal(self):
        plain, packed = dbsp.load(self.placed()), dbsp.load(self.placed(".json.zst"))
        self.assertTrue(plain.hashed)
        self.assertTrue(packed.hashed)
        self.assertEqual(plain.cells, [(0, 0), (0, 1), (1, 0), (1, 1)])
        for at in plain.cells:
            np.testing.assert_array_equal(plain.cell(*at).row_owner, packed.cell(*at).row_owner)

    def test_white_space_and_the_order_of_members_do_not_change_the_hash(self):
        document = support.read(self.placed())
        turned = dict(reversed(list(document.items())))
        path = self.plans.path("turned.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(turned, file, indent=2)
        self.assertTrue(dbsp.load(path).hashed)

    def test_a_changed_number_is_found_by_the_hash(self):
        def edit(document):
            document["predictions"][0]["total_ns"] += 1
        self.refused(self.edited(edit, hashed=True), "'content_hash'", "remove the member")

    def test_an_edited_plan_without_a_hash_is_read(self):
        plan = dbsp.load(self.edited(lambda d: d["predictions"][0].update(total_ns=5)))
        self.assertFalse(plan.hashed)

    def test_every_wrong_value_is_refused_with_its_key(self):
        def split(document):
            return next((p, g) for p, partition in enumerate(document["partitions"])
                        for g, group in enumerate(partition["groups"]) if len(group["ranks"]) > 1)

        def owner(document):
            p, g = split(document)
            document["partitions"][p]["groups"][g]["row_owner"] = [9] * 32

        def short(document):
            p, g = split(document)
            document["partitions"][p]["groups"][g]["row_owner"] = [0] * 31

        def long(document):
            p, g = split(document)
            document["partitions"][p]["groups"][g]["row_owner"] = [[0, 1 << 30]]

        def twice(document):
            groups = document["partitions"][0]["groups"]
            groups[0]["heads"] = groups[1]["heads"]

        cases = [
            (lambda d: d.update(schema="dbsp.plan/3"), "'schema'"),
            (lambda d: d.pop("ranks"), "'ranks' is missing"),
            (lambda d: d.update(rank=8), "'rank'", "known are"),
            (lambda d: d.update(ranks=8.0), "'ranks'", "expected an integer"),
            (lambda d: d.update(ranks=True), "'ranks'", "expected an integer"),
            (lambda d: d.update(dtype="f16"), "'dtype'", "f32, bf16"),
            (lambda d: d["shape"].update(tokens=0), "'shape.tokens'"),
            (lambda d: d["shape"].update(block=[16]), "'shape.block'"),
            (lambda d: d["workload"].update(text=d["workload"]["text"] + " "), "'workload.hash'"),
            (lambda d: d["layouts"].clear(), "'layouts'"),
            (lambda d: d["layouts"].append({"name": "x", "block_order": [0, 0]}),
             "'layouts[1].block_order'"),
            (lambda d: d["strategies"][0].update(partition=99), "'strategies[0].partition'"),
            (lambda d: d["strategies"][0].update(family="usq"), "'strategies[0].family'", "usp"),
            (lambda d: d["strategies"][0].update(chunks=2), "'strategies[0].chunks'"),
            (lambda d: d["strategies"][1].update(exchange="alltoall"), "'strategies[1].exchange'"),
            (lambda d: d["strategies"][1].update(exchange="ring"), "'strategies[1].partition'"),
            (lambda d: d["cells"].reverse(), "'cells[1]'", "sorted"),
            (lambda d: d["cells"].append([7, 0, 0, 99, None]), "'cells[4][3]'"),
            (lambda d: d["cells"].append([7, 0, 0]), "'cells[4]'", "5 entries"),
            (lambda d: d["contracts"][0].update(fallback=-1), "'contracts[0].fallback'"),
            (lambda d: d["contracts"][0].update(rho_limit="1"), "'contracts[0].rho_limit'"),
            (owner, "row_owner[0]'"), (short, "row_owner'", "32 rows"), (long, "row_owner[0][1]'"),
            (twice, "'partitions[0].groups'", "every head"),
        ]
        for edit, *words in cases:
            with self.subTest(words=words):
                self.refused(self.edited(edit), *words)

    def test_texts_that_are_no_plan_are_refused(self):
        for text in (b"", b"[]", b"{", b'{"schema": NaN}', b'{"schema": 1, "schema": 2}', b"\xff",
                     b'{"ranks": 1e999}', b"[" * 100000, b'{"schema": "dbsp.plan/2"}', b"null"):
            path = self.plans.path("text.json")
            with open(path, "wb") as file:
                file.write(text)
            self.refused(path)

    def test_what_is_no_regular_file_is_refused_without_waiting(self):
        fifo = self.plans.path("fifo.json")
        os.mkfifo(fifo)
        self.refused(fifo, "not a regular file")
        self.refused(os.path.dirname(fifo), "not a regular file")
        self.refused(self.plans.path("absent.json"), "cannot be read")

    @unittest.skipUnless(shutil.which("zstd"), "this machine has no zstd program")
    def test_compressed_plans_are_refused_where_damage_would_not_be_noticed(self):
        path = self.edited(lambda document: None)
        packed = path + ".zst"
        for flag, accepted in (("--check", True), ("--no-check", False)):
            subprocess.run(["zstd", "-qf", flag, path, "-o", packed], check=True)
            if accepted:
                self.assertFalse(dbsp.load(packed).hashed)
            else:
                self.refused(packed, "checksum")
        with open(packed, "rb") as file:
            data = file.read()
        with open(packed, "wb") as file:  # a skippable frame, then a frame that ends early
            file.write(struct.pack("<II", 0x184D2A50, 3) + b"abc" + data[:len(data) // 2])
        self.refused(packed)

    def test_without_zstd_the_error_says_what_to_install(self):
        with mock.patch.dict(sys.modules, zstandard=None), mock.patch("shutil.which",
                                                                      return_value=None):
            self.refused(self.placed(".json.zst"), "zstandard", "zstd -d")


class CellTest(PlanCase):
    def test_a_cell_that_is_absent_is_named(self):
        with self.assertRaisesRegex(dbsp.Error, "no step 2 layer 0; it has steps 0 to 1"):
            dbsp.load(self.placed()).cell(2, 0)

    def test_head_order_is_a_permutation_and_its_splits_are_the_loads(self):
        plan = dbsp.load(self.plans.plan(self.workload, 8, "--families", "balanced"))
        for at in plan.cells:
            cell = plan.cell(*at)
            order, splits = cell.head_order(), cell.head_splits()
            self.assertEqual(sorted(order.tolist()), list(range(12)))
            self.assertEqual(splits.sum(), 12)
            rank_of_head = cell.row_owner[order, 0]
            np.testing.assert_array_equal(rank_of_head, np.repeat(np.arange(8), splits))

    def test_a_cell_with_split_heads_has_no_head_order(self):
        plan = dbsp.load(self.placed())
        split = [plan.cell(*at) for at in plan.cells if plan.cell(*at).strategy.family == "placed"]
        self.assertTrue(split)
        with self.assertRaisesRegex(dbsp.Error, "divides heads by rows"):
            split[0].head_order()

    def test_a_contract_holds_for_its_own_masks_and_not_for_the_opposite_ones(self):
        plan = dbsp.load(self.placed())
        for at in plan.cells:
            cell = plan.cell(*at)
            masks = self.plans.masks(self.workload, *at)
            counts = masks.sum(axis=(1, 2))
            self.assertTrue(plan.holds(*at, counts))
            self.assertTrue(plan.holds(*at, masks=masks))
            self.assertAlmostEqual(cell.rho(masks), cell.prediction()["rho_barrier"], places=9)
            self.assertAlmostEqual(cell.load_ratio(counts), cell.rho(masks), places=3)
            self.assertFalse(plan.holds(*at, np.arange(12) == 11))
            self.assertTrue(plan.holds(*at, np.zeros(12)))

    def test_what_a_contract_cannot_use_is_refused(self):
        plan = dbsp.load(self.placed())
        for counts in (np.ones(11), -np.ones(12), np.full(12, np.nan)):
            with self.assertRaisesRegex(dbsp.Error, "12 numbers"):
                plan.holds(0, 0, counts)
        with self.assertRaisesRegex(dbsp.Error, "either counts"):
            plan.holds(0, 0)
        with self.assertRaisesRegex(dbsp.Error, "of bool"):
            plan.holds(0, 0, masks=np.ones((12, 32, 63)))

    def test_the_fallback_does_not_depend_on_masks(self):
        cell = dbsp.load(self.placed()).cell(0, 0)
        self.assertIn(cell.fallback().strategy.family, ("ulysses", "ring", "usp"))
        self.assertIsNone(cell.fallback().prediction())

    def test_a_layout_permutes_tokens_and_masks_alike(self):
        document = support.read(self.placed())
        del document["content_hash"]
        units = list(range(0, 31, 2)) + list(range(1, 31, 2)) + [31]  # the last unit is short
        document["layouts"].append({"name": "strided:2", "block_order": units})
        for strategy in document["strategies"]:
            strategy["layout"] = 1
        plan = dbsp.load(support.write(self.plans.path("layout.json"), document))
        order = plan.token_order()
        self.assertTrue(np.array_equal(np.sort(order), np.arange(1000)))
        self.assertEqual(order[32], 64)
        masks = self.plans.masks(self.workload, 0, 0)
        moved = plan.permuted(masks)
        for i, j in ((0, 0), (5, 11), (31, 62), (20, 3)):
            row, col = order[i * 32] // 32, order[j * 16] // 16
            np.testing.assert_array_equal(moved[:, i, j], masks[:, row, col])


if __name__ == "__main__":
    support.run_tests()
