# SPDX-License-Identifier: Apache-2.0
"""A user's block attention in torch, with matmul and softmax; a user's file for kernels_test.py."""

import torch

from dbsp.kernels import kernel


@kernel("torch.block", version=torch.__version__.split("+")[0], mask="dense")
def prepare(call):
    mask = torch.from_numpy(call.dense.copy())
    keys = torch.arange(call.k_blocks * call.k_block)
    short = torch.from_numpy(call.k_tokens.astype("int64"))[keys // call.k_block]
    valid = keys % call.k_block < short
    mask = mask.repeat_interleave(call.q_block, 1).repeat_interleave(call.k_block, 2) & valid

    def launch(q, k, v, o, lse):
        q, k, v = (torch.from_numpy(x) for x in (q, k, v))
        scores = (torch.matmul(q, k.transpose(1, 2)) * call.scale).masked_fill(~mask, -torch.inf)
        sums = torch.logsumexp(scores, -1)
        values = torch.where(valid[None, :, None], v, torch.zeros(()))
        result = torch.matmul(torch.exp(scores - sums.unsqueeze(-1)), values)
        o[...] = torch.where(torch.isfinite(sums).unsqueeze(-1), result, torch.zeros(())).numpy()
        lse[...] = sums.numpy()
    return launch
