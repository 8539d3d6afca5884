#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch's attention beside gpu_check's kernels: the same shapes and block masks, one device, turn by turn.

gpu_check makes the masks and times its own kernels (`gpu_check serve`, one request and one JSON answer a line); this
program times cuDNN's dense attention and FlexAttention over the same masks between them. One line of peers.jsonl per
kernel and group is written as soon as the group is done.

  bench/peers.py --gpu-check build/gpu-check/bin/gpu_check --out out/gpu-check [--budget 150]

exit: 0 measured, 1 a result is wrong, 2 usage, 3 PyTorch or a GPU is absent
"""

import argparse
import contextlib
import json
import os
import struct
import subprocess
import sys
import time

MIN_ROUNDS = 5
MAX_ROUNDS = 40
MAX_RELATIVE_ERROR = 5e-3  # as bench/gpu_check/compare.h


class Unavailable(Exception):
    """What is missing here, in words."""


# --- masks and tables: nothing here needs PyTorch -------------------------------------------------------------------


def read_mask(path):
    """A uint8 .npy array as (shape, bytes); format 1.0 as gpu_check writes it."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError(f"{path}: expected a .npy file of format 1.0")
    (length,) = struct.unpack("<H", data[8:10])
    header = data[10 : 10 + length].decode("latin1")
    if "'|u1'" not in header or "'fortran_order': False" not in header:
        raise ValueError(f"{path}: expected uint8 in C order, found {header.strip()}")
    inside = header.split("'shape': (")[1].split(")")[0]
    shape = tuple(int(side) for side in inside.split(",") if side.strip())
    body = data[10 + length :]
    expected = 1
    for side in shape:
        expected *= side
    if len(body) != expected:
        raise ValueError(f"{path}: expected {expected} bytes for {shape}, found {len(body)}")
    return shape, body


def mask_pairs(shape, body, heads, tokens, q_block, k_block):
    """(query, key) pairs of a mask [1 or heads][q blocks][k blocks], tails counted as they are."""
    given, rows, cols = shape
    if rows != -(-tokens // q_block) or cols != -(-tokens // k_block):
        raise ValueError(f"a mask of {rows} x {cols} blocks does not cover {tokens} tokens")
    pairs = 0
    for head in range(given):
        for row in range(rows):
            start = (head * rows + row) * cols
            line = body[start : start + cols]
            keys = sum(line) * k_block
            if line[-1]:
                keys -= cols * k_block - tokens
            pairs += min(q_block, tokens - row * q_block) * keys
    return pairs if given == heads else pairs * heads


def tflops(pairs, head_dim, ns):
    """Two products of two operations for each pair and channel."""
    return 4.0 * head_dim * pairs / ns * 1e-3


def quartiles(samples):
    ordered = sorted(samples)

    def at(part):
        rank = part * (len(ordered) - 1)
        low = int(rank)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (rank - low) * (ordered[high] - ordered[low])

    return at(0.25), at(0.5), at(0.75)


def table_text(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def judged(ours, peers):
    """Speed-up of the fastest kernel of ours over each peer, per mask: {(mask, peer): ratio}.

    ours and peers: [{"mask", "kernel", "median_ns", "pairs"}]; a ratio is taken per pair, for a peer may compute the
    same mask in other blocks.
    """
    ratios = {}
    for peer in peers:
        same = [one for one in ours if one["mask"] == peer["mask"] and one["pairs"] > 0]
        if not same or not peer["pairs"]:
            continue
        best = min(one["median_ns"] / one["pairs"] for one in same)
        ratios[(peer["mask"], peer["kernel"])] = peer["median_ns"] / peer["pairs"] / best
    return ratios


# --- gpu_check's side -----------------------------------------------------------------------------------------------


class GpuCheck:
    """A running `gpu_check serve`."""

    def __init__(self, binary, out, budget, smoke=False):
        command = [binary, "serve", "--out", out, "--budget", str(budget)] + (["--smoke"] if smoke else [])
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, request):
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        while True:
            answer = self.process.stdout.readline()
            if not answer:
                code = self.process.wait()
                if code == 3:
                    raise Unavailable("gpu_check finds no usable GPU")
                raise RuntimeError(f"gpu_check ended with exit code {code} at '{request}'")
            if answer.startswith("{"):
                break
            print(answer, end="")  # Its remarks.
        reply = json.loads(answer)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply

    def close(self):
        if self.process.poll() is None:
            try:
                self.process.stdin.write("quit\n")
                self.process.stdin.close()
                self.process.wait(timeout=20)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


# --- PyTorch's side -------------------------------------------------------------------------------------------------


class Torch:
    """cuDNN and FlexAttention on the device; made only where PyTorch sees one."""

    def __init__(self):
        try:
            import torch
            import torch.nn.functional
        except ImportError as error:
            raise Unavailable(f"PyTorch is not installed ({error})") from error
        if not torch.cuda.is_available():
            raise Unavailable("PyTorch sees no CUDA device")
        self.torch = torch
        self.flex = None
        cache = torch.cuda.get_device_properties(0).L2_cache_size
        self.clear = torch.empty(max(cache, 1), dtype=torch.uint8, device="cuda")

    def inputs(self, heads, tokens, head_dim):
        torch = self.torch
        torch.manual_seed(7)
        shape = (1, heads, tokens, head_dim)
        return [torch.randn(shape, device="cuda", dtype=torch.float32).to(torch.bfloat16) for _ in range(3)]

    def cudnn(self, q, k, v):
        from torch.nn.attention import SDPBackend, sdpa_kernel

        def run():
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                return self.torch.nn.functional.scaled_dot_product_attention(q, k, v)

        return run

    def flex_attention(self, q, k, v, shape, body, q_block, k_block):
        """FlexAttention over a block mask given as bytes; every kept block is full, so there is no mask_mod."""
        torch = self.torch
        from torch.nn.attention.flex_attention import BlockMask, flex_attention

        heads, rows, cols = shape
        mask = torch.frombuffer(bytearray(body), dtype=torch.uint8).reshape(1, heads, rows, cols)
        mask = mask.cuda().to(torch.int32)
        count = mask.sum(-1, dtype=torch.int32)
        index = torch.argsort(mask, -1, descending=True, stable=True).to(torch.int32)
        tokens = q.shape[2]
        block_mask = BlockMask.from_kv_blocks(
            torch.zeros_like(count),
            index,
            count,
            index,
            BLOCK_SIZE=(q_block, k_block),
            mask_mod=None,
            seq_lengths=(tokens, tokens),
        )
        if self.flex is None:
            self.flex = torch.compile(flex_attention, dynamic=False)
        options = {"BLOCK_M": 64, "BLOCK_N": 64} if min(q_block, k_block) == 64 else None
        flex = self.flex

        def run():
            return flex(q, k, v, block_mask=block_mask, return_lse=True, kernel_options=options)

        return run

    def sample(self, run):
        """Nanoseconds of one run with a cold second-level cache."""
        torch = self.torch
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        self.clear.zero_()
        torch.cuda.synchronize()
        # The host enqueues while the device sleeps, so that its speed does not count.
        torch.cuda._sleep(2_000_000)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) * 1e6

    def free(self):
        self.torch.cuda.empty_cache()


# --- the measurement ------------------------------------------------------------------------------------------------


def peers_of(torch_side, group, skipped):
    """Ready peers of a prepared group: [{"mask", "kernel", "pairs", "run"}]; why others are not goes to skipped."""
    q, k, v = torch_side.inputs(group["heads"], group["tokens"], group["head_dim"])
    pairs = group["heads"] * group["tokens"] * group["tokens"]
    wanted = [("dense", "torch.cudnn", pairs, lambda: torch_side.cudnn(q, k, v))]
    seen = set()
    for runner in group["runners"]:
        if "mask_file" not in runner or runner["mask"] in seen:
            continue
        seen.add(runner["mask"])
        shape, body = read_mask(runner["mask_file"])
        q_block, k_block = runner["q_block"], runner["k_block"]
        found = mask_pairs(shape, body, group["heads"], group["tokens"], q_block, k_block)
        if found != runner["pairs"]:
            raise ValueError(f"{runner['mask_file']}: {found} pairs in the mask, {runner['pairs']} in the lists")

        def make(shape=shape, body=body, q_block=q_block, k_block=k_block):
            return torch_side.flex_attention(q, k, v, shape, body, q_block, k_block)

        wanted.append((runner["mask"], "torch.flex", found, make))
    ready = []
    for mask, kernel, count, make in wanted:
        try:
            run = make()
            run()  # Compiles, and fails here where the back end is absent.
            torch_side.torch.cuda.synchronize()
            ready.append({"mask": mask, "kernel": kernel, "pairs": count, "run": run})
        except Exception as error:  # PyTorch raises many kinds; one peer's absence must not cost the others.
            words = str(error).strip().splitlines()
            skipped.append(f"{group['group']}, {mask}: {kernel} skipped: {words[0] if words else repr(error)}")
    return ready


def run_group(gpu_check, torch_side, index, deadline, write):
    """Measures one group in turns; returns the rows of its table."""
    group = gpu_check.ask(f"prepare {index}")
    skipped = []
    peers = peers_of(torch_side, group, skipped)
    for line in skipped:
        print(line)
    ours = [dict(runner, samples=[], own=True) for runner in group["runners"]]
    peers = [dict(peer, samples=[], own=False) for peer in peers]
    if any(one["spot_error"] is None or one["spot_error"] > MAX_RELATIVE_ERROR for one in ours):
        raise ValueError("a kernel's sampled rows are not those of fp64; see its spot_error in `gpu_check speed`")
    started = time.monotonic()
    for turn in range(MAX_ROUNDS):
        for number, one in enumerate(ours):
            one["samples"].append(gpu_check.ask(f"sample {number}")["ns"])
        for one in peers:
            one["samples"].append(torch_side.sample(one["run"]))
        now = time.monotonic()
        if turn + 1 >= MIN_ROUNDS and (now > deadline or now - started > 12):
            break
        if now > deadline + 10:
            break
    dense = 0.0
    for one in ours + peers:
        one["q1_ns"], one["median_ns"], one["q3_ns"] = quartiles(one["samples"])
        one["tflops"] = tflops(one["pairs"], group["head_dim"], one["median_ns"])
        if one["mask"] == "dense" and one["own"]:
            dense = max(dense, one["tflops"])
    ratios = judged(ours, peers)
    rows = []
    for one in ours + peers:
        ratio = ratios.get((one["mask"], one["kernel"]))
        of_dense = one["tflops"] / dense if dense else None
        write(
            {
                "part": "peers",
                "group": group["group"],
                "mask": one["mask"],
                "kernel": one["kernel"],
                "tokens": group["tokens"],
                "heads": group["heads"],
                "head_dim": group["head_dim"],
                "pairs": one["pairs"],
                "median_ns": one["median_ns"],
                "q1_ns": one["q1_ns"],
                "q3_ns": one["q3_ns"],
                "tflops": one["tflops"],
                "of_dense": of_dense,
                "ours_is_faster_by": ratio,
                "spot_error": one.get("spot_error"),
                "samples_ns": one["samples"],
            }
        )
        rows.append(
            [
                group["group"],
                one["mask"],
                one["kernel"],
                f"{one['median_ns'] * 1e-6:.3f}",
                f"{one['tflops']:.1f}",
                "" if of_dense is None else f"{of_dense:.3f}",
                "" if ratio is None else f"{ratio:.2f}x",
            ]
        )
    torch_side.free()
    return rows


def measure(arguments):
    torch_side = Torch()
    os.makedirs(arguments.out, exist_ok=True)
    deadline = time.monotonic() + arguments.budget
    gpu_check = GpuCheck(arguments.gpu_check, arguments.out, arguments.budget, arguments.smoke)
    rows = [["group", "mask", "kernel", "ms", "TFLOP/s", "of own dense", "ours faster by"]]
    wrong = False
    try:
        groups = gpu_check.ask("groups")["groups"]
        with open(os.path.join(arguments.out, "peers.jsonl"), "a", encoding="utf-8") as file:

            def write(line):
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())

            for index, name in enumerate(groups):
                if time.monotonic() > deadline:
                    print(f"out of time before: {name}")
                    continue
                try:
                    rows += run_group(gpu_check, torch_side, index, deadline, write)
                except (RuntimeError, ValueError) as error:
                    wrong = True
                    print(f"{name}: {error}")
                    write({"part": "peers", "group": name, "error": str(error)})
    finally:
        gpu_check.close()
    print(table_text(rows))
    return 1 if wrong else 0


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu-check", required=True, help="the gpu_check binary")
    parser.add_argument("--out", default="out/gpu-check", help="folder of results")
    parser.add_argument("--budget", type=int, default=150, help="seconds")
    parser.add_argument("--smoke", action="store_true", help="tiny shapes; the times say nothing")
    arguments = parser.parse_args(words)
    try:
        return measure(arguments)
    except Unavailable as absent:
        print(f"peers: unavailable: {absent}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
