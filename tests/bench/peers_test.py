#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests bench/peers.py without PyTorch and without a GPU: masks, tables, turns and messages."""

import contextlib
import importlib.util
import io
import json
import os
import struct
import sys
import tempfile
import time
import types
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPEC = importlib.util.spec_from_file_location("peers", os.path.join(ROOT, "bench", "peers.py"))
peers = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(peers)
peers_torch = sys.modules["peers_torch"]

# A stand-in for `gpu_check serve` that logs the requests in their order.
SERVER = """#!{python}
import json, os, sys
log = open({log!r}, "a", encoding="utf-8")
for line in sys.stdin:
    words = line.split()
    print(line.strip(), file=log, flush=True)
    if words[0] == "groups":
        print(json.dumps({{"groups": ["wan", "broken", "last"]}}), flush=True)
    elif words[:2] == ["prepare", "2"] and {ends!r} and {ends!r} not in os.environ.get("DBSP_SKIP_KERNELS", ""):
        print("dbsp: " + {ends!r} + ": not done on the device after 8 s", file=sys.stderr)
        sys.exit(4)
    elif words[0] == "prepare" and words[1] in "02":
        print("a remark of gpu_check", flush=True)
        runner = {{"kernel": "own.dense", "mask": "dense", "q_block": 128, "k_block": 128, "pairs": 2 * 300 * 300,
                   "spot_error": 1e-3, "expected_tflops": 640, "expected_of_dense": 0}}
        wrong = dict(runner, kernel="own.wrong", spot_error=0.4)
        sparse = dict(runner, kernel="own.sparse", mask="random 0.30", pairs={pairs}, mask_file={mask!r})
        if words[1] == "2":
            del sparse["mask_file"]
        print(json.dumps({{"group": "wan", "tokens": 300, "heads": 2, "head_dim": 128, "runners": [runner, wrong, sparse]}}),
              flush=True)
    elif words[0] == "prepare":
        print(json.dumps({{"error": "device memory: keys needs 9 GiB"}}), flush=True)
    elif words[0] == "sample":
        print(json.dumps({{"ns": 2000.0 if words[1] == "0" else 1000.0, "clock_ratio": 0.7}}), flush=True)
    elif words[0] == "quit":
        break
"""


def write_mask(path, shape, body):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(128 - 10 - 1) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(body))


class MaskTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "mask.npy")

    def tearDown(self):
        self.folder.cleanup()

    def test_reads_what_gpu_check_writes(self):
        write_mask(self.path, (1, 2, 3), [1, 0, 1, 0, 0, 1])
        self.assertEqual(peers.read_mask(self.path), ((1, 2, 3), bytes([1, 0, 1, 0, 0, 1])))

    def test_refuses_other_files(self):
        write_mask(self.path, (1, 2, 4), [1, 0, 1, 0, 0, 1])
        with self.assertRaisesRegex(ValueError, "expected 8 bytes"):
            peers.read_mask(self.path)
        with open(self.path, "wb") as file:
            file.write(b"something else")
        with self.assertRaisesRegex(ValueError, "format 1.0"):
            peers.read_mask(self.path)

    def test_pairs_count_the_real_tokens_of_partial_blocks(self):
        # 300 tokens are 3 blocks of 128; the last block has 44 tokens.
        body = bytes([1, 0, 1, 0, 0, 0, 0, 1, 1])
        one_head = 128 * (128 + 44) + 44 * (128 + 44)
        self.assertEqual(peers.mask_pairs((1, 3, 3), body, 1, 300, 128, 128), one_head)
        self.assertEqual(peers.mask_pairs((1, 3, 3), body, 5, 300, 128, 128), 5 * one_head)
        self.assertEqual(peers.mask_pairs((2, 3, 3), body + bytes(9), 2, 300, 128, 128), one_head)
        with self.assertRaisesRegex(ValueError, "does not cover"):
            peers.mask_pairs((1, 3, 3), body, 1, 400, 128, 128)


class NumbersTest(unittest.TestCase):
    def test_quartiles_equal_those_of_gpu_check(self):
        self.assertEqual(peers.quartiles([4, 1, 3, 2]), (1.75, 2.5, 3.25))
        self.assertEqual(peers.quartiles([7]), (7, 7, 7))

    def test_tflops(self):
        self.assertAlmostEqual(peers.tflops(16384 * 16384, 128, 1e6), 4 * 128 * 16384**2 / 1e-3 * 1e-12)

    def test_ratios_are_per_pair_and_relative_to_the_fastest_own_kernel(self):
        ours = [
            {"mask": "a", "kernel": "slow", "median_ns": 4.0, "pairs": 2},
            {"mask": "a", "kernel": "fast", "median_ns": 2.0, "pairs": 2},
            {"mask": "b", "kernel": "fast", "median_ns": 1.0, "pairs": 1},
        ]
        theirs = [
            {"mask": "a", "kernel": "flex", "median_ns": 6.0, "pairs": 4},
            {"mask": "c", "kernel": "flex", "median_ns": 6.0, "pairs": 4},
        ]
        self.assertEqual(peers.judged(ours, theirs), {("a", "flex"): 1.5})

    def test_tables_line_up(self):
        self.assertEqual(peers.table_text([["a", "bb"], ["ccc", "d"]]), "a    bb\nccc   d")


class FakeTorch:
    """A stand-in for PyTorch without a device."""

    def __init__(self):
        self.ran = []

    def finish(self, what):
        pass

    def free(self):
        pass

    def inputs(self, heads, tokens, head_dim):
        return [None] * 3

    def cudnn(self, q, k, v):
        raise RuntimeError("No available kernel. Aborting execution.\nmore words")

    def flex_attention(self, q, k, v, shape, body, q_block, k_block):
        return lambda: self.ran.append((shape, q_block))

    def sample(self, run, what):
        run()
        return 3000.0


class RunTest(unittest.TestCase):
    def run_main(self, folder, torch_class, ends="", budget=30):
        mask = os.path.join(folder, "mask.npy")
        write_mask(mask, (1, 3, 3), [1, 0, 1, 0, 0, 0, 0, 1, 1])
        log = os.path.join(folder, "log")
        server = os.path.join(folder, "gpu_check")
        pairs = 2 * (128 * 172 + 44 * 172)
        with open(server, "w", encoding="utf-8") as file:
            file.write(SERVER.format(python=sys.executable, log=log, mask=mask, pairs=pairs, ends=ends))
        os.chmod(server, 0o755)
        printed = io.StringIO()
        before = peers.Torch, peers.MAX_ROUNDS
        peers.Torch, peers.MAX_ROUNDS = torch_class, 6
        os.environ.pop("DBSP_SKIP_KERNELS", None)
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                code = peers.main(["--gpu-check", server, "--out", os.path.join(folder, "out"), "--budget", str(budget)])
        finally:
            peers.Torch, peers.MAX_ROUNDS = before
            os.environ.pop("DBSP_SKIP_KERNELS", None)
        return code, printed.getvalue(), log

    def test_kernels_take_turns_and_every_group_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            code, printed, log = self.run_main(folder, FakeTorch)
            with open(os.path.join(folder, "out", "speed.jsonl"), encoding="utf-8") as file:
                lines = [json.loads(line) for line in file]
            kept = [name for name in os.listdir(folder) if name.endswith(".npy")]
            with open(log, encoding="utf-8") as file:
                asked = file.read().split("\n")
        self.assertEqual(code, 1, "a failed group must fail the run")
        own = [line for line in lines if line.get("kernel") == "own.sparse"][0]
        flex = [line for line in lines if line.get("kernel") == "torch.flex"][0]
        self.assertGreaterEqual(len(own["samples_ns"]), peers.MIN_ROUNDS)
        self.assertEqual(len(own["samples_ns"]), len(flex["samples_ns"]))
        self.assertEqual(flex["ours_is_faster_by"], 3.0)
        self.assertEqual(flex["pairs"], own["pairs"])
        self.assertAlmostEqual(own["of_dense"], own["pairs"] / (2 * 300 * 300) * 2.0)
        samples = [line for line in asked if line.startswith("sample")]
        self.assertEqual(samples[:4], ["sample 0", "sample 2", "sample 0", "sample 2"], "a wrong kernel is not timed")
        self.assertIn("wrong: wan: own.wrong over dense: sampled rows are not those of fp64", printed)
        errors = [line["error"] for line in lines if "error" in line]
        self.assertEqual(errors[1], "device memory: keys needs 9 GiB")
        self.assertIn("own.wrong", errors[0])
        self.assertEqual(own["expected_tflops"], 640)
        self.assertEqual(flex["expected_faster_by"], 1.5)
        self.assertEqual(own["slow_clock_kept"], len(own["samples_ns"]), "slow samples are kept and flagged")
        self.assertEqual(kept, [], "masks are large and must not stay among the results")
        self.assertIn("a remark of gpu_check", printed)
        self.assertIn("3.00x", printed)

    def test_without_pytorch_the_own_kernels_are_timed(self):
        def absent():
            before = sys.modules.get("torch")
            sys.modules["torch"] = None  # Makes `import torch` raise ImportError.
            try:
                return REAL_TORCH()
            finally:
                if before is None:
                    del sys.modules["torch"]
                else:
                    sys.modules["torch"] = before

        with tempfile.TemporaryDirectory() as folder:
            _, printed, log = self.run_main(folder, absent)
            lines = self.lines(folder)
            with open(log, encoding="utf-8") as file:
                self.assertNotIn("masks", file.read(), "no peer needs the masks")
        self.assertIn("peers: PyTorch is not installed", printed)
        self.assertIn("PyTorch is not installed", lines[0]["peers_unavailable"])
        self.assertEqual({line["kernel"] for line in lines if "median_ns" in line}, {"own.dense", "own.sparse"})

    def lines(self, folder):
        with open(os.path.join(folder, "out", "speed.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_a_kernel_that_ends_gpu_check_is_left_out_and_the_group_runs_again(self):
        with tempfile.TemporaryDirectory() as folder:
            code, printed, _ = self.run_main(folder, FakeTorch, ends="sm90.block64x64.d64")
            with open(os.path.join(folder, "out", "left-out.txt"), encoding="utf-8") as file:
                left_out = file.read()
            groups = [line for line in self.lines(folder) if line.get("kernel") == "own.dense"]
        self.assertEqual(code, 1)
        self.assertIn("last: again without sm90.block64x64.d64", printed)
        self.assertTrue(left_out.startswith("sm90.block64x64.d64\tgpu_check ended with exit code 4"))
        self.assertEqual(len(groups), 2, "the first group and the repeated last one")

    def test_a_spent_budget_is_cut_off_and_named(self):
        with tempfile.TemporaryDirectory() as folder:
            code, printed, _ = self.run_main(folder, FakeTorch, budget=0)
        self.assertEqual(code, peers.CUT_OFF)
        self.assertIn("out of time before: wan", printed)

    def test_peers_that_take_too_long_or_are_absent_are_skipped_with_the_reason(self):
        class Slow(FakeTorch):
            def flex_attention(self, q, k, v, shape, body, q_block, k_block):
                time.sleep(20)

        before = peers.PREPARE_S
        peers.PREPARE_S = 0.2
        try:
            with tempfile.TemporaryDirectory() as folder:
                _, printed, _ = self.run_main(folder, Slow)
        finally:
            peers.PREPARE_S = before
        self.assertIn("torch.flex skipped: torch.flex of random 0.30: not ready after", printed)

        # cuDNN is timed in groups of dense attention only, where a speed is required of it.
        skipped = []
        dense = {"group": "dense", "tokens": 4, "heads": 1, "head_dim": 128, "runners": [{"mask": "dense"}]}
        self.assertEqual(peers.peers_of(FakeTorch(), dense, skipped, time.monotonic() + 9), [])
        self.assertEqual(skipped, ["dense, dense: torch.cudnn skipped: No available kernel. Aborting execution."])

    def test_a_gpu_check_without_a_device_is_unavailable(self):
        with tempfile.TemporaryDirectory() as folder:
            server = os.path.join(folder, "gpu_check")
            with open(server, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nexit 3\n")
            os.chmod(server, 0o755)
            one = peers.GpuCheck(server, folder, 1)
            with self.assertRaisesRegex(peers.Unavailable, "no usable GPU"):
                one.ask("groups")
            one.close()


class TorchTest(unittest.TestCase):
    """What depends on PyTorch's version, without PyTorch."""

    def test_the_log_sum_exp_is_asked_for_by_what_the_version_offers(self):
        class AuxRequest:
            def __init__(self, lse=False):
                self.lse = lse

        def old(query, *, return_lse=False, kernel_options=None):
            pass

        def both(query, return_lse=False, kernel_options=None, *, return_aux=None):
            pass

        def new(query, kernel_options=None, *, return_aux=None):
            pass

        def neither(query):
            pass

        def asked(function, **more):
            return peers_torch.lse_arguments(types.SimpleNamespace(flex_attention=function, **more))

        self.assertEqual(asked(old), {"return_lse": True})
        for function in (both, new):
            arguments = asked(function, AuxRequest=AuxRequest)
            self.assertEqual(list(arguments), ["return_aux"])
            self.assertTrue(arguments["return_aux"].lse)
        self.assertEqual(asked(both), {"return_lse": True}, "return_aux without its type cannot be used")
        self.assertEqual(asked(neither), {})

    def test_a_wait_has_a_deadline_and_names_the_work(self):
        asked = []
        peers_torch.wait_for(lambda: asked.append(1) or len(asked) == 4, "work", 5)
        self.assertEqual(len(asked), 4)
        with self.assertRaisesRegex(peers_torch.Hang, "flex of radial: not done on the device after 0 s"):
            peers_torch.wait_for(lambda: False, "flex of radial", 0.05)


REAL_TORCH = peers.Torch

if __name__ == "__main__":
    unittest.main()
