# SPDX-License-Identifier: Apache-2.0
"""PyTorch's attention on the device for bench/peers.py: cuDNN, and FlexAttention over block masks."""

import contextlib
import inspect
import os
import signal
import time

DEADLINE_S = 20.0  # of one wait for the device, where DBSP_DEVICE_DEADLINE_S is not set


class Unavailable(Exception):
    """What is missing here, in words."""


class Hang(Exception):
    """Work that the device did not end before its deadline. The device stays busy with it."""


class TooSlow(Exception):
    """A preparation that took longer than its part of the budget."""


def lse_arguments(module):
    """The arguments by which this version's flex_attention returns the log-sum-exp, too.

    PyTorch 2.9 brought return_aux and announced the removal of return_lse for 2.10. The version that is installed
    decides, not its number. {} where it offers neither.
    """
    offered = inspect.signature(module.flex_attention).parameters
    if "return_aux" in offered and hasattr(module, "AuxRequest"):
        return {"return_aux": module.AuxRequest(lse=True)}
    if "return_lse" in offered:
        return {"return_lse": True}
    return {}


def wait_for(done, what, deadline_s=None):
    """Asks done() until it is true; raises Hang at the deadline. Never waits inside CUDA."""
    if deadline_s is None:
        deadline_s = float(os.environ.get("DBSP_DEVICE_DEADLINE_S", DEADLINE_S))
    begin = time.monotonic()
    while not done():
        waited = time.monotonic() - begin
        if waited > deadline_s:
            raise Hang(f"{what}: not done on the device after {deadline_s:.0f} s")
        if waited > 50e-6:
            time.sleep(min(waited / 16, 500e-6))


@contextlib.contextmanager
def at_most(seconds, what):
    """Ends the block with TooSlow after some seconds; compilers of kernels take as long as they like."""

    def stop(number, frame):
        raise TooSlow(f"{what}: not ready after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
        from torch.nn.attention import flex_attention as module

        heads, rows, cols = shape
        mask = torch.frombuffer(bytearray(body), dtype=torch.uint8).reshape(1, heads, rows, cols)
        mask = mask.cuda().to(torch.int32)
        count = mask.sum(-1, dtype=torch.int32)
        index = torch.argsort(mask, -1, descending=True, stable=True).to(torch.int32)
        tokens = q.shape[2]
        block_mask = module.BlockMask.from_kv_blocks(
            torch.zeros_like(count),
            index,
            count,
            index,
            BLOCK_SIZE=(q_block, k_block),
            mask_mod=None,
            seq_lengths=(tokens, tokens),
        )
        if self.flex is None:
            self.flex = torch.compile(module.flex_attention, dynamic=False)
        options = {"BLOCK_M": 64, "BLOCK_N": 64} if min(q_block, k_block) == 64 else None
        flex = self.flex
        lse = lse_arguments(module)

        def run():
            return flex(q, k, v, block_mask=block_mask, kernel_options=options, **lse)

        return run

    def finish(self, what):
        """Waits for all work, with a deadline."""
        event = self.torch.cuda.Event()
        event.record()
        wait_for(event.query, what)

    def sample(self, run, what):
        """Nanoseconds of one run with a cold second-level cache."""
        torch = self.torch
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        self.clear.zero_()
        self.finish(what)
        # The host enqueues while the device sleeps, so that its speed does not count.
        torch.cuda._sleep(2_000_000)
        begin.record()
        run()
        end.record()
        wait_for(end.query, what)
        return begin.elapsed_time(end) * 1e6

    def free(self):
        self.torch.cuda.empty_cache()
