#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dbsp.torch_runtime on gloo processes of this machine, against unsplit attention in fp32."""

import datetime
import os
import signal
import sys
import tempfile
import traceback
import unittest

import support

support.require("numpy", "torch")
import grid_plans  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402

import dbsp  # noqa: E402
from dbsp import torch_runtime  # noqa: E402

HEADS, DIM, TOKENS, BLOCK = 8, 8, 300, (16, 8)
LIMIT = 2e-6  # fp32 sums of at most 300 products in another order


def inputs(pass_number=0):
    rng = np.random.default_rng(11 + pass_number)
    masks = rng.random((HEADS, 19, 38)) < np.linspace(0.05, 0.7, HEADS)[:, None, None]
    masks[2] = False
    masks[5, 3:9] = False
    qkv = torch.from_numpy(rng.standard_normal((3, TOKENS, HEADS, DIM)).astype(np.float32))
    return masks, qkv


def unsplit(masks, qkv):
    """shape  [tokens, heads, DIM]"""
    sizes = [np.minimum(TOKENS - np.arange(n) * b, b) for n, b in zip(masks.shape[1:], BLOCK)]
    q, k, v = qkv.permute(0, 2, 1, 3)
    return torch_runtime.block_attention(q, k, v, masks, *sizes)[0].permute(1, 0, 2)


def processes(count, body):
    """Runs body(rank) in `count` gloo processes. returns the failures' texts"""
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(count):
            child = os.fork()
            if child == 0:
                os._exit(_in_child(rank, count, folder, body))
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        failures = []
        for rank in range(count):
            path = os.path.join(folder, f"failure{rank}")
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    failures.append(f"rank {rank}: {file.read()}")
        return failures or [f"a rank ended with status {code}" for code in codes if code]


def _in_child(rank, count, folder, body):
    try:
        signal.alarm(240)  # a rank that waits for ever ends the test
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank,
                                world_size=count, timeout=datetime.timedelta(seconds=120))
        body(rank)
        dist.barrier()
        return 0
    except BaseException:
        with open(os.path.join(folder, f"failure{rank}"), "w", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        return 1
    finally:
        sys.stdout.flush()


class TorchRuntimeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plans = support.Plans()
        cls.workload = cls.plans.workload(
            "grid", "--heads", HEADS, "--layers", 8, "--steps", 4, "--head-dim", DIM, "--tokens",
            TOKENS, "--block", "16x8", "--passes", 2, "--mask", "dense")

    @classmethod
    def tearDownClass(cls):
        cls.plans.close()

    def grid(self, ranks, degree):
        base = self.plans.plan(self.workload, ranks, "--families", "ulysses", "--chunks", 1,
                               "--cfg-degrees", degree)
        return grid_plans.make(base, inputs()[0], self.plans.path(f"grid{ranks}-{degree}.json"))

    def run_all(self, ranks, path, dtype=torch.float32, limit=LIMIT):
        plan = dbsp.load(path)

        def body(_rank):
            group, number = torch_runtime.pass_group(plan)
            masks, qkv = inputs(number)
            expected = unsplit(masks, qkv.to(dtype).float())
            runtime = torch_runtime.PlanRuntime(plan, group=group)
            q, k, v = qkv[:, runtime.tokens].to(dtype)
            for at in plan.cells:
                o = runtime.run(*at, q, k, v, masks)
                error = (o.float() - expected[runtime.tokens]).abs().max().item() if len(o) else 0
                assert o.dtype == dtype and error <= limit, (plan.cell(*at).strategy, error)

        self.assertEqual(processes(ranks, body), [])

    def test_every_family_and_exchange_on_four_processes(self):
        self.run_all(4, self.grid(4, 1))

    def test_every_family_and_exchange_on_eight_processes(self):
        self.run_all(8, self.grid(8, 1))

    def test_guidance_passes_run_in_groups_of_their_own(self):
        self.run_all(8, self.grid(8, 2))

    def test_bf16_stays_within_its_rounding(self):
        self.run_all(4, self.grid(4, 1), torch.bfloat16, 0.05)

    def test_a_broken_contract_runs_the_fallback(self):
        workload = self.plans.workload(
            "drift", "--heads", HEADS, "--layers", 1, "--steps", 1, "--head-dim", DIM, "--tokens",
            TOKENS, "--block", "16x8", "--mask", "random:density=0.3,spread=0.8")
        plan = dbsp.load(self.plans.plan(workload, 4, "--families", "placed", "--chunks", 1))

        def body(_rank):
            masks, qkv = inputs()
            runtime = torch_runtime.PlanRuntime(plan)
            counts = masks.sum(axis=(1, 2))
            chosen = runtime.cell(0, 0, counts).strategy.family
            assert chosen in ("ulysses", "ring", "usp"), chosen
            o = runtime.run(0, 0, *qkv[:, runtime.tokens], masks, counts)
            assert (o - unsplit(masks, qkv)[runtime.tokens]).abs().max() <= LIMIT

        self.assertEqual(processes(4, body), [])

    def test_what_does_not_fit_is_refused_before_anything_is_sent(self):
        plan = dbsp.load(self.grid(4, 1))

        def body(_rank):
            def refused(call, *words):
                try:
                    call()
                except dbsp.Error as error:
                    assert all(word in str(error) for word in words), str(error)
                else:
                    raise AssertionError(f"not refused: {words}")

            masks, qkv = inputs()
            runtime = torch_runtime.PlanRuntime(plan)
            q, k, v = qkv[:, runtime.tokens]
            refused(lambda: runtime.run(0, 0, q[1:], k, v, masks), "q: shape", "local tokens")
            refused(lambda: runtime.run(0, 0, q, k, v.double(), masks), "v: shape", "float64")
            refused(lambda: runtime.run(0, 0, q, k, v, masks[1:]), "masks of shape")
            refused(lambda: runtime.run(9, 0, q, k, v, masks), "no step 9")
            half = dist.new_group([0, 1])
            if dist.get_rank() < 2:
                refused(lambda: torch_runtime.PlanRuntime(plan, group=half), "for 4 ranks", "has 2")
            without = torch_runtime.PlanRuntime(
                plan, lambda *call: (torch_runtime.block_attention(*call)[0], None))
            for at in plan.cells:
                strategy = plan.cell(*at).strategy
                if strategy.exchange == "needed" and strategy.family == "placed":
                    o = without.run(*at, q, k, v, masks)
                    assert (o - unsplit(masks, qkv)[runtime.tokens]).abs().max() <= LIMIT
            ring = next(at for at in plan.cells if plan.cell(*at).strategy.exchange == "ring")
            refused(lambda: without.run(*ring, q, k, v, masks | True), "log-sum-exp")

        self.assertEqual(processes(4, body), [])


if __name__ == "__main__":
    support.run_tests()
