#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dbsp.legal and dbsp.export: which runtime runs which plan, and the files that it gets."""

import json
import os
import unittest

import support

support.require("numpy")
import numpy as np  # noqa: E402

import dbsp  # noqa: E402
from dbsp import runtimes  # noqa: E402

PLAIN = [name for name in dbsp.RUNTIMES if name != "db-sp"]


class RuntimesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plans = support.Plans()
        cls.workload = cls.plans.workload(
            "runtimes", "--heads", 8, "--layers", 2, "--steps", 2, "--head-dim", 16, "--tokens",
            2048, "--block", "64x64", "--passes", 2, "--mask", "dense")

    @classmethod
    def tearDownClass(cls):
        cls.plans.close()

    def plan(self, strategy, groups, ranks=4, degree=1, **changes):
        """A plan whose cells are edited: `groups` is a partition's groups, or one for each cell."""
        base = self.plans.plan(self.workload, ranks * degree, "--families", "ulysses", "--chunks", 1,
                               "--cfg-degrees", degree)
        document = support.read(base)
        del document["content_hash"]
        old_strategy, old = document["strategies"][0], document["partitions"][0]
        every = groups if isinstance(groups[0], list) else [groups] * len(document["cells"])
        distinct = [one for i, one in enumerate(every) if one not in every[:i]]
        document["partitions"] = [dict(old, groups=one, ranks=ranks, **changes) for one in distinct]
        document["strategies"] = [dict(old_strategy, partition=i, **strategy)
                                  for i in range(len(distinct))]
        for cell, one in zip(document["cells"], every):
            cell[2], cell[4] = distinct.index(one), None
        return dbsp.load(support.write(self.plans.path("edited.json"), document))

    @staticmethod
    def ulysses(order, ranks=4):
        each = len(order) // ranks
        return [{"heads": sorted(order[g * each:(g + 1) * each]), "ranks": [g], "row_owner": [],
                 "col_owner": []} for g in range(ranks)]

    @staticmethod
    def grid(rows, cols, ulysses=2, ring=2, heads=range(8)):
        heads = list(heads)
        each = len(heads) // ulysses
        return [{"heads": sorted(heads[g * each:(g + 1) * each]),
                 "ranks": [i * ulysses + g for i in range(ring)],
                 "row_owner": list(rows), "col_owner": list(cols)} for g in range(ulysses)]

    def broken(self, plan, runtime, *words):
        problems = dbsp.legal(plan, runtime)
        self.assertTrue(any(all(word in problem for word in words) for problem in problems),
                        (runtime, words, problems))
        for problem in problems:
            self.assertNotIn("\n", problem)
            self.assertIn("step 0 layer ", problem.replace("step 1 layer", "step 0 layer"))

    def test_plain_ulysses_is_legal_everywhere(self):
        plan = self.plan({}, self.ulysses(list(range(8))))
        for runtime in dbsp.RUNTIMES:
            self.assertEqual(dbsp.legal(plan, runtime), [], runtime)

    def test_one_order_of_heads_per_layer_is_legal_and_one_per_step_is_not(self):
        a, b = self.ulysses([3, 1, 2, 0, 7, 6, 5, 4]), self.ulysses([0, 4, 1, 5, 2, 6, 3, 7])
        self.assertEqual(dbsp.legal(self.plan({}, [a, b, a, b]), "fastvideo"), [])
        for runtime in PLAIN:
            self.broken(self.plan({}, [a, b, b, b]), runtime, "step 1 layer 0", "one per layer")
        self.assertEqual(dbsp.legal(self.plan({}, [a, b, b, b]), "db-sp"), [])

    def test_a_ring_is_legal_where_a_runtime_has_one(self):
        home = [i // 16 for i in range(32)]
        ring = {"family": "usp", "ulysses_degree": 2, "ring_degree": 2, "exchange": "ring"}
        plan = self.plan(ring, self.grid(home, home))
        for runtime in ("xdit", "sglang", "vllm-omni", "trtllm", "db-sp"):
            self.assertEqual(dbsp.legal(plan, runtime), [], runtime)
        self.broken(plan, "diffusers", "exchange ring", "allgather", "rotate_method")
        self.broken(plan, "fastvideo", "ring degree 2")
        self.broken(plan, "lightx2v", "degrees 2 x 2", "alone")
        gather = self.plan(dict(ring, exchange="allgather"), self.grid(home, []))
        self.assertEqual(dbsp.legal(gather, "diffusers"), [])
        self.broken(gather, "xdit", "exchange allgather")

    def test_moved_rows_are_legal_for_db_sp_alone(self):
        odd = [i % 2 for i in range(32)]
        strategy = {"family": "dbsp", "ulysses_degree": 2, "ring_degree": 2, "exchange": "ring"}
        plan = self.plan(strategy, self.grid(odd, odd))
        self.assertEqual(dbsp.legal(plan, "db-sp"), [])
        for runtime in PLAIN:
            self.broken(plan, runtime, "rows that are moved")
        groups = self.grid(odd, odd)
        groups[1]["row_owner"] = odd[::-1]
        self.broken(self.plan(strategy, groups), "db-sp", "row_owner of its own")
        uneven = [0] * 15 + [1] * 17
        self.broken(self.plan(strategy, self.grid(uneven, odd)), "db-sp", "[15, 17] blocks")

    def test_split_heads_and_uneven_groups_are_legal_nowhere(self):
        split = self.ulysses(list(range(8)))
        split[0]["heads"] = [1]
        split.append({"heads": [0], "ranks": [2, 0], "row_owner": [0, 1] * 16, "col_owner": []})
        uneven = self.ulysses(list(range(8)))
        uneven[0]["heads"], uneven[1]["heads"] = [0, 1, 2], [3]
        for runtime in dbsp.RUNTIMES:
            self.broken(self.plan({"family": "placed", "exchange": "needed"}, split), runtime,
                        "split by rows")
            self.broken(self.plan({"family": "balanced"}, uneven), runtime, "[3, 1, 2, 2]")
            self.broken(self.plan({"chunks": 2}, self.ulysses(list(range(8))),
                                  chunk_of_head=[0, 1] * 4), runtime, "2 chunks")

    def test_guidance_passes_need_a_runtime_that_has_them(self):
        plan = self.plan({}, self.ulysses(list(range(8))), degree=2)
        for runtime in dbsp.RUNTIMES:
            if runtime in ("diffusers", "fastvideo", "db-sp"):
                self.broken(plan, runtime, "cfg degree 2")
            else:
                self.assertEqual(dbsp.legal(plan, runtime), [], runtime)

    def exported(self, plan, runtime):
        folder = self.plans.path(f"out-{runtime}")
        names = dbsp.export(plan, runtime, folder)
        self.assertEqual(names, sorted(os.listdir(folder)))
        files = {}
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".json"):
                files[name] = support.read(path)
            elif name.endswith(".txt"):
                with open(path, encoding="utf-8") as file:
                    files[name] = file.read()
            else:
                files[name] = np.load(path)
        del files["export.json"]
        return files

    def test_settings_are_those_of_the_runtimes(self):
        order = [3, 1, 2, 0, 7, 6, 5, 4]
        plan = self.plan({}, self.ulysses(order))
        moved = self.plan({}, self.ulysses(order), degree=2)
        heads = [[1, 3, 0, 2, 6, 7, 4, 5]] * 2
        golden = {
            "xdit": {"xdit.txt": "--ulysses_degree 4 --ring_degree 1 --use_cfg_parallel\n"},
            "diffusers": {"context_parallel_config.json": {
                "ulysses_degree": 4, "ring_degree": 1, "rotate_method": "allgather"}},
            "fastvideo": {"fastvideo.json": {"num_gpus": 4, "sp_size": 4, "tp_size": 1}},
            "lightx2v": {"lightx2v.json": {"parallel": {
                "seq_p_size": 4, "seq_p_attn_type": "ulysses", "cfg_p_size": 2}}},
            "sglang": {"sglang.txt": "--num-gpus 8 --ulysses-degree 4 --ring-degree 1 "
                                     "--enable-cfg-parallel\n"},
            "vllm-omni": {"parallel_config.json": {"ulysses_degree": 4, "ring_degree": 1,
                                                   "cfg_parallel_size": 2}},
            "trtllm": {"trtllm.json": {"cfg_size": 2, "ulysses_size": 4, "ring_size": 1}},
        }
        self.assertEqual(set(golden), set(PLAIN))
        for runtime, expected in golden.items():
            single = runtime in ("diffusers", "fastvideo")
            files = self.exported(plan if single else moved, runtime)
            self.assertEqual(files.pop("head_orders.npy").tolist(), heads)
            self.assertEqual(files, expected)

    def test_db_sps_exchanges_bring_every_block_to_its_owner_and_back(self):
        rng = np.random.default_rng(3)
        for ulysses, ring in ((4, 2), (2, 4), (1, 8)):
            rows, cols = (rng.permutation(np.repeat(np.arange(ring), 32 // ring)).tolist()
                          for _ in range(2))
            heads = rng.permutation(8).tolist()
            plan = self.plan({"family": "dbsp", "ulysses_degree": ulysses, "ring_degree": ring,
                              "exchange": "ring"}, self.grid(rows, cols, ulysses, ring, heads), 8)
            self.assertEqual(dbsp.legal(plan, "db-sp"), [])
            tensors = runtimes.dbsp_tensors(plan.cell(0, 0))
            order = tensors["head_perm_idx"]
            np.testing.assert_array_equal(order[tensors["head_deperm_idx"]], np.arange(8))
            for g in range(ulysses):  # the ring of a head group
                ranks = [i * ulysses + g for i in range(ring)]
                for letter, owner, name in (("q", rows, "row"), ("k", cols, "col")):
                    home = np.arange(32).reshape(ring, -1)
                    sent = [home[i][tensors[f"new_{name}_perm_idx"][r]]
                            for i, r in enumerate(ranks)]
                    there = self.all_to_all(sent, [tensors[f"transpose_matrix_{letter}"][r]
                                                   for r in ranks],
                                            [tensors[f"transpose_matrix_{letter}_T"][r]
                                             for r in ranks])
                    for i in range(ring):
                        np.testing.assert_array_equal(there[i],
                                                      np.flatnonzero(np.array(owner) == i))
                    if letter == "q":
                        back = self.all_to_all(there,
                                               [tensors["transpose_matrix_o"][r] for r in ranks],
                                               [tensors["transpose_matrix_o_T"][r] for r in ranks])
                        for i, r in enumerate(ranks):
                            np.testing.assert_array_equal(
                                back[i][tensors["new_row_deperm_idx"][r]], home[i])

    @staticmethod
    def all_to_all(data, sent, received):
        parts = [np.split(mine, np.cumsum(counts)[:-1]) for mine, counts in zip(data, sent)]
        for i, counts in enumerate(received):
            assert [len(part[i]) for part in parts] == counts.tolist()
        return [np.concatenate([part[i] for part in parts]) for i in range(len(data))]

    def test_db_sp_gets_one_file_per_strategy_and_a_table_of_cells(self):
        odd = [i % 2 for i in range(32)]
        plan = self.plan({"family": "dbsp", "ulysses_degree": 2, "ring_degree": 2,
                          "exchange": "ring"}, self.grid(odd, odd))
        files = self.exported(plan, "db-sp")
        self.assertEqual(files["cells.json"], {f"{s},{n}": "strategy0.npz" for s in (0, 1)
                                               for n in (0, 1)})
        arrays = files["strategy0.npz"]
        self.assertEqual(arrays["new_row_perm_idx"].shape, (4, 16))
        self.assertEqual(arrays["new_row_perm_idx"][0].tolist(),
                         list(range(0, 16, 2)) + list(range(1, 16, 2)))
        self.assertEqual(arrays["transpose_matrix_q"].tolist(), [[8, 8]] * 4)
        arrays.close()

    def test_nothing_is_written_for_a_plan_that_is_not_legal(self):
        a, b = self.ulysses([3, 1, 2, 0, 7, 6, 5, 4]), self.ulysses(list(range(8)))
        folder = self.plans.path("refused")
        with self.assertRaisesRegex(dbsp.Error, "one per layer .*xdit cannot run this plan"):
            dbsp.export(self.plan({}, [a, a, b, b]), "xdit", folder)
        self.assertFalse(os.path.exists(folder))
        plan = self.plan({}, a)
        with self.assertRaisesRegex(dbsp.Error, "runtime 'xdi': expected one of xdit"):
            dbsp.legal(plan, "xdi")
        os.mkdir(folder)
        with self.assertRaisesRegex(dbsp.Error, "exists"):
            dbsp.export(plan, "xdit", folder)
        with self.assertRaisesRegex(dbsp.Error, "cannot be written"):
            dbsp.export(plan, "xdit", self.plans.path("absent/below"))
        self.assertEqual(json.dumps(os.listdir(folder)), "[]")


if __name__ == "__main__":
    support.run_tests()
