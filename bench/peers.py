#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times gpu_check's kernels and PyTorch's attention in one pass: the same shapes and block masks, turn by turn.

gpu_check makes the masks and times its own kernels (`gpu_check serve`, one request and one JSON answer a line); this
program times cuDNN's dense attention and FlexAttention over the same masks between them. Without PyTorch it times
gpu_check's kernels alone. The groups are in the order of their worth, and each has a part of the time that is left.
One line of speed.jsonl per kernel and group is written as soon as the group is done.

  bench/peers.py --gpu-check build/gpu-check/bin/gpu_check --out out/gpu-check [--budget 150]

exit: 0 measured, 1 a result is wrong or a group failed, 2 usage, 3 a GPU is absent, 124 the budget ended before a group
"""

import argparse
import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers_torch import Hang, Torch, Unavailable, at_most  # noqa: E402

MIN_ROUNDS = 5
MAX_ROUNDS = 40
GROUP_S = 12.0  # most seconds of one group's turns
LEAST_GROUP_S = 3.0
PREPARE_S = 30.0  # most seconds until one peer is compiled
PREPARE_PART = 0.25  # and most of the time that is left
MAX_RELATIVE_ERROR = 5e-3  # as bench/gpu_check/compare.h
LOW_CLOCK = 0.75  # as profiler/gpu/device_measure.h
MOST_RESTARTS = 3  # of a gpu_check that ended
CUT_OFF = 124
# What docs/gpu.md, Speed, asks for: our speed over the peer's, per pair. FlexAttention's depends on the block.
EXPECTED_OF_CUDNN = 0.95  # dense with head_dim 128
EXPECTED_OF_FLEX = {128: 1.5, 64: 1.3}


class ServerEnded(Exception):
    """gpu_check ended in the middle of a request."""


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
        self.errors = os.path.join(out, "serve.txt")
        with open(self.errors, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            text=True, bufsize=1)

    def last_words(self):
        """The last line that gpu_check wrote to stderr."""
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            lines = file.read().strip().splitlines()
        return lines[-1] if lines else "no message"

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
                    raise Unavailable(f"gpu_check finds no usable GPU: {self.last_words()}")
                raise ServerEnded(f"gpu_check ended with exit code {code} at '{request}': {self.last_words()}")
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


# --- the measurement ------------------------------------------------------------------------------------------------


def peers_of(torch_side, group, skipped, end):
    """Ready peers of a prepared group: [{"mask", "kernel", "pairs", "expected", "run"}].

    The reasons why others are not ready go to skipped. end: time.monotonic() after which no other is prepared.
    """
    if torch_side is None:
        return []
    q, k, v = torch_side.inputs(group["heads"], group["tokens"], group["head_dim"])
    pairs = group["heads"] * group["tokens"] * group["tokens"]
    wanted = []
    if all(runner["mask"] == "dense" for runner in group["runners"]):
        expected = EXPECTED_OF_CUDNN if group["head_dim"] == 128 else 0
        wanted.append(("dense", "torch.cudnn", pairs, expected, lambda: torch_side.cudnn(q, k, v)))
    seen = set()
    for runner in group["runners"]:
        if "mask_file" not in runner:
            continue
        repeated = runner["mask"] in seen
        seen.add(runner["mask"])
        shape, body = (None, None) if repeated else read_mask(runner["mask_file"])
        with contextlib.suppress(OSError):
            os.unlink(runner["mask_file"])  # Masks are large, and the results hold their pairs.
        if repeated:
            continue
        q_block, k_block = runner["q_block"], runner["k_block"]
        found = mask_pairs(shape, body, group["heads"], group["tokens"], q_block, k_block)
        if found != runner["pairs"]:
            raise ValueError(f"{runner['mask_file']}: {found} pairs in the mask, {runner['pairs']} in the lists")

        def make(shape=shape, body=body, q_block=q_block, k_block=k_block):
            return torch_side.flex_attention(q, k, v, shape, body, q_block, k_block)

        wanted.append((runner["mask"], "torch.flex", found, EXPECTED_OF_FLEX.get(min(q_block, k_block), 0), make))
    ready = []
    for mask, kernel, count, expected, make in wanted:
        left = min(PREPARE_S, PREPARE_PART * (end - time.monotonic()))
        if left <= 0:
            skipped.append(f"{group['group']}, {mask}: {kernel} skipped: no time is left to compile it")
            continue
        try:
            with at_most(left, f"{kernel} of {mask}"):
                run = make()
                run()  # Compiles, and fails here where the back end is absent.
                torch_side.finish(f"{kernel} of {mask}")
            ready.append({"mask": mask, "kernel": kernel, "pairs": count, "expected": expected, "run": run})
        except Hang:
            raise
        except Exception as error:  # PyTorch raises many kinds; one peer's absence must not cost the others.
            words = str(error).strip().splitlines()
            skipped.append(f"{group['group']}, {mask}: {kernel} skipped: {words[0] if words else repr(error)}")
    return ready


def take_turns(gpu_check, torch_side, ours, peers, end, deadline, rounds):
    """Samples all in turn until `end` with MIN_ROUNDS turns at least, or until the deadline with one at least."""
    for turn in range(rounds):
        for one in ours:
            answer = gpu_check.ask(f"sample {one['number']}")
            one["samples"].append(answer["ns"])
            one["slow"] += answer.get("clock_ratio", 1.0) < LOW_CLOCK
        for one in peers:
            one["samples"].append(torch_side.sample(one["run"], f"{one['kernel']} of {one['mask']}"))
        now = time.monotonic()
        if now > deadline or (turn + 1 >= MIN_ROUNDS and now > end):
            break


def run_group(gpu_check, torch_side, index, seconds, deadline, write, rounds):
    """Measures one group in turns; returns the rows of its table and whether all is right.

    seconds, rounds: of its turns, at most
    """
    group = gpu_check.ask(f"prepare {index}" + (" masks" if torch_side is not None else ""))
    if not group["runners"]:
        print(f"{group['group']}: no kernel is left for it")
        return [], True
    skipped = []
    peers = peers_of(torch_side, group, skipped, deadline)
    for line in skipped:
        print(line)
        write({"part": "speed", "group": group["group"], "skipped": line})
    ours = [dict(runner, number=number, samples=[], slow=0, own=True) for number, runner in enumerate(group["runners"])]
    wrong = [one for one in ours if one["spot_error"] is None or one["spot_error"] > MAX_RELATIVE_ERROR]
    for one in wrong:
        words = f"{one['kernel']} over {one['mask']}: sampled rows are not those of fp64"
        print(f"wrong: {group['group']}: {words}")
        write({"part": "speed", "group": group["group"], "mask": one["mask"], "kernel": one["kernel"], "error": words})
    ours = [one for one in ours if one not in wrong]
    peers = [dict(peer, samples=[], slow=0, own=False) for peer in peers]
    take_turns(gpu_check, torch_side, ours, peers, time.monotonic() + seconds, deadline, rounds)
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
                "part": "speed",
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
                "expected_of_dense": one.get("expected_of_dense", 0),
                "expected_tflops": one.get("expected_tflops", 0),
                "ours_is_faster_by": ratio,
                "expected_faster_by": one.get("expected", 0),
                "spot_error": one.get("spot_error"),
                "slow_clock_kept": one["slow"],
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
    if torch_side is not None:
        torch_side.free()
    return rows, not wrong


def leave_out(out, words):
    """Adds the kernel that `words` names to DBSP_SKIP_KERNELS and to left-out.txt, which scripts/gpu-check reads."""
    found = re.search(r"\bsm\d+\.[\w.]*\w", words)
    if not found:
        return None
    name = found.group()
    before = os.environ.get("DBSP_SKIP_KERNELS", "")
    if name in before.split(","):
        return None
    os.environ["DBSP_SKIP_KERNELS"] = f"{before},{name}".strip(",")
    with open(os.path.join(out, "left-out.txt"), "a", encoding="utf-8") as file:
        file.write(f"{name}\t{words}\n")
    return name


class Pass:
    """One pass over all groups."""

    def __init__(self, arguments, torch_side, write):
        self.arguments = arguments
        self.torch_side = torch_side
        self.write = write
        self.deadline = time.monotonic() + arguments.budget
        self.restarts = 0
        self.status = 0
        self.rows = [["group", "mask", "kernel", "ms", "TFLOP/s", "of own dense", "ours faster by"]]
        self.gpu_check = None

    def start(self):
        one = self.arguments
        self.gpu_check = GpuCheck(one.gpu_check, one.out, one.budget, one.smoke)

    def group(self, index, name, left):
        """Measures a group. `left` groups come after it."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            print(f"out of time before: {name}")
            self.write({"part": "speed", "group": name, "skipped": "no time was left"})
            self.status = self.status or CUT_OFF
            return
        seconds = max(LEAST_GROUP_S, min(GROUP_S, remaining / (left + 1)))
        rounds = 1 if self.arguments.smoke else MAX_ROUNDS
        try:
            measured, right = run_group(
                self.gpu_check, self.torch_side, index, seconds, self.deadline, self.write, rounds
            )
            self.rows += measured
            self.status = self.status if right else 1
        except ServerEnded as error:
            self.fail(name, error)
            skipped = leave_out(self.arguments.out, str(error))
            self.gpu_check.close()
            self.restarts += 1
            if self.restarts > MOST_RESTARTS:
                raise
            self.start()
            if skipped:
                print(f"{name}: again without {skipped}")
                self.group(index, name, left)
        except (RuntimeError, ValueError) as error:
            self.fail(name, error)

    def fail(self, name, error):
        self.status = 1
        print(f"{name}: {error}")
        self.write({"part": "speed", "group": name, "error": str(error)})

    def run(self):
        self.start()
        try:
            groups = self.gpu_check.ask("groups")["groups"]
            for index, name in enumerate(groups):
                self.group(index, name, len(groups) - index - 1)
        except ServerEnded as error:
            self.status = 1
            print(f"peers: {error}")
        finally:
            self.gpu_check.close()
            print(table_text(self.rows), flush=True)
        return self.status


def measure(arguments):
    os.makedirs(arguments.out, exist_ok=True)
    with open(os.path.join(arguments.out, "speed.jsonl"), "a", encoding="utf-8") as file:

        def write(line):
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

        try:
            torch_side = Torch()
        except Unavailable as absent:
            print(f"peers: {absent}: only dbsp's kernels are timed", flush=True)
            write({"part": "speed", "peers_unavailable": str(absent)})
            torch_side = None
        one = Pass(arguments, torch_side, write)
        try:
            return one.run()
        except Hang as hang:
            # PyTorch's stream stays busy, and the end of the interpreter would wait for it.
            print(f"peers: {hang}; the pass ends here", flush=True)
            write({"part": "speed", "error": str(hang)})
            os._exit(1)


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
