# SPDX-License-Identifier: Apache-2.0
"""Which plans a runtime can run as it is, and its settings for such a plan.

RUNTIMES has one entry per runtime, with a source for every rule. `legal` names every rule that a
plan breaks. `export` writes the runtime's settings, the order of heads for its weights, or, for
db-SP, the permutation tensors of every rank.
"""

import json
import os
import shutil
import tempfile
from collections import namedtuple

import numpy as np

from ._input import Error

Runtime = namedtuple("Runtime", "rules settings")
Rule = namedtuple("Rule", "check source")


def _cells(plan):
    return (plan.cell(step, layer) for step, layer in plan.cells)


def _one_degree(plan):
    first = None
    for cell in _cells(plan):
        degrees = (cell.strategy.ulysses_degree, cell.strategy.ring_degree)
        first = first or degrees
        if degrees != first:
            yield cell, (f"degrees {degrees[0]} x {degrees[1]}, expected {first[0]} x {first[1]} "
                         "as in the first cell: the process has one pair of degrees")


def _exchanges(*names):
    def check(plan):
        for cell in _cells(plan):
            if cell.strategy.exchange not in names:
                yield cell, f"exchange {cell.strategy.exchange}, expected {' or '.join(names)}"
    return check


def _no_chunks(plan):
    for cell in _cells(plan):
        if cell.strategy.chunks > 1:
            yield cell, f"{cell.strategy.chunks} chunks of heads, expected 1"


def _no_ring(plan):
    for cell in _cells(plan):
        if cell.strategy.ring_degree > 1:
            yield cell, f"ring degree {cell.strategy.ring_degree}, expected 1"


def _one_pass_at_a_time(plan):
    if plan.cfg_degree > 1:
        yield next(_cells(plan)), f"cfg degree {plan.cfg_degree}, expected 1"


def _given_tokens(plan):
    for cell in _cells(plan):
        name, order = plan.layouts[cell.strategy.layout]
        if len(order):
            yield cell, f"token layout {name}, expected the given order"


def _equal_heads(plan):
    for cell in _cells(plan):
        if plan.shape.heads % cell.strategy.ulysses_degree:
            yield cell, (f"{plan.shape.heads} heads on ulysses degree "
                         f"{cell.strategy.ulysses_degree}, expected a divisor")
            continue
        try:
            splits = cell.head_splits().tolist()
        except Error:
            yield cell, "heads that are split by rows among different ranks, expected whole heads"
            continue
        if len(set(splits)) != 1:
            yield cell, f"head groups of {splits}, expected equal groups"


def _one_order_per_layer(plan):
    """The order of heads can then be put into the weights (dbsp.fold_heads)."""
    found = {}
    for cell in _cells(plan):
        try:
            order = tuple(cell.head_order().tolist())
        except Error:
            continue  # _equal_heads names it
        if found.setdefault(cell.layer, order) != order:
            yield cell, "another order of heads than at an earlier step, expected one per layer"


def _home_ring(plan, cell, blocks, size):
    """shape  [blocks] ring index of the rank that holds each block"""
    begin = plan.shape.home_begin(cell.ranks)
    rank = np.searchsorted(begin, np.arange(blocks, dtype=np.int64) * size, side="right") - 1
    return rank // cell.strategy.ulysses_degree


def _rows_at_home(plan):
    shape = plan.shape
    for cell in _cells(plan):
        home = _home_ring(plan, cell, shape.q_blocks, shape.block_q)
        split = [group for group in cell.partition.groups if len(group.ranks) > 1]
        if any(not np.array_equal(group.row_owner, home) for group in split):
            yield cell, "rows that are moved between ranks, expected contiguous rows"
        keys = _home_ring(plan, cell, shape.k_blocks, shape.block_k)
        if any(len(group.col_owner) and not np.array_equal(group.col_owner, keys)
               for group in split):
            yield cell, "key blocks that are moved between ranks, expected contiguous ones"


def _ulysses_or_ring(plan):
    for cell in _cells(plan):
        if min(cell.strategy.ulysses_degree, cell.strategy.ring_degree) > 1:
            yield cell, (f"degrees {cell.strategy.ulysses_degree} x {cell.strategy.ring_degree}, "
                         "expected ulysses or ring alone")


def _dbsp_layer(plan):
    """What db-SP's LongContextAttention takes."""
    shape = plan.shape
    if (shape.block_q, shape.block_k) != (64, 64):
        yield next(_cells(plan)), f"blocks of {shape.block_q} x {shape.block_k}, expected 64 x 64"
    if shape.tokens % (64 * plan.pass_ranks):
        yield next(_cells(plan)), (f"{shape.tokens} tokens, expected a multiple of 64 x "
                                   f"{plan.pass_ranks} ranks; pad the sequence")
    for cell in _cells(plan):
        ring = cell.strategy.ring_degree
        if ring not in (1, 2, 4, 8):
            yield cell, f"ring degree {ring}, expected 1, 2, 4 or 8"
        split = [group for group in cell.partition.groups if len(group.ranks) > 1]
        for name in ("row_owner", "col_owner"):
            owners = [getattr(group, name) for group in split]
            if any(not np.array_equal(owner, owners[0]) for owner in owners):
                yield cell, f"a {name} of its own in every head group, expected one for all"
            elif split and len(set(np.bincount(owners[0], minlength=ring))) != 1:
                sizes = np.bincount(owners[0], minlength=ring).tolist()
                yield cell, f"parts of {sizes} blocks, expected equal parts"


_XDIT = "xDiT at 175e0bf: "
_DIFFUSERS = "diffusers at 58eb52c: "
_FASTVIDEO = "FastVideo at 2f3d407: "
_LIGHTX2V = "LightX2V at f8aee98: "
_DBSP = "db-SP at f13ced5: "
_OMNI = "vLLM-Omni at be81443: vllm_omni/diffusion/data.py, DiffusionParallelConfig"
_SGLANG = "sglang: arguments of its multimodal_gen server; the attention code was not read"
_TRTLLM = "TensorRT-LLM: documentation of visual_gen, issue 13821; the code was not read"


def _plain(config, exchange, heads):
    """The rules of a runtime with plain Ulysses and contiguous rows, with their sources."""
    return [Rule(_one_degree, config), Rule(_exchanges(*exchange[0]), exchange[1]),
            Rule(_no_chunks, exchange[1]), Rule(_given_tokens, config), Rule(_rows_at_home, config),
            Rule(_equal_heads, heads), Rule(_one_order_per_layer, heads)]


def _degrees(plan):
    strategy = next(_cells(plan)).strategy
    return strategy.ulysses_degree, strategy.ring_degree


def _xdit(plan):
    ulysses, ring = _degrees(plan)
    flags = ["--ulysses_degree", str(ulysses), "--ring_degree", str(ring)]
    return {"xdit.txt": " ".join(flags + ["--use_cfg_parallel"] * (plan.cfg_degree > 1)) + "\n"}


def _diffusers(plan):
    ulysses, ring = _degrees(plan)
    return {"context_parallel_config.json": {"ulysses_degree": ulysses, "ring_degree": ring,
                                             "rotate_method": "allgather"}}


def _fastvideo(plan):
    return {"fastvideo.json": {"num_gpus": plan.ranks, "sp_size": plan.ranks, "tp_size": 1}}


def _lightx2v(plan):
    kind = "ring" if _degrees(plan)[1] > 1 else "ulysses"
    return {"lightx2v.json": {"parallel": {"seq_p_size": plan.pass_ranks, "seq_p_attn_type": kind,
                                           "cfg_p_size": plan.cfg_degree}}}


def _omni(plan):
    ulysses, ring = _degrees(plan)
    return {"parallel_config.json": {"ulysses_degree": ulysses, "ring_degree": ring,
                                     "cfg_parallel_size": plan.cfg_degree}}


def _sglang(plan):
    ulysses, ring = _degrees(plan)
    flags = f"--num-gpus {plan.ranks} --ulysses-degree {ulysses} --ring-degree {ring}"
    return {"sglang.txt": flags + " --enable-cfg-parallel" * (plan.cfg_degree > 1) + "\n"}


def _trtllm(plan):
    ulysses, ring = _degrees(plan)
    return {"trtllm.json": {"cfg_size": plan.cfg_degree, "ulysses_size": ulysses,
                            "ring_size": ring}}


def dbsp_tensors(cell):
    """The arguments of db-SP's layer for every rank, rank first; its README slices some wrongly.

    Entry [rank] belongs to ring index rank // U. db-SP's README takes rank % R, which is the ring
    index only where U or R is 1.
    """
    strategy, shape = cell.strategy, cell.plan.shape
    ring, order = strategy.ring_degree, cell.head_order()
    tensors = {"head_perm_idx": order, "head_deperm_idx": np.argsort(order)}
    if ring == 1:
        return tensors
    index = np.arange(cell.ranks) // strategy.ulysses_degree
    group = next(group for group in cell.partition.groups if len(group.ranks) > 1)
    for name, owner, blocks in (("row", group.row_owner, shape.q_blocks),
                                ("col", group.col_owner, shape.k_blocks)):
        local = owner.reshape(ring, blocks // ring)  # owners of the blocks of every ring index
        perm = np.argsort(local, axis=1, kind="stable")
        sent = np.stack([np.bincount(part, minlength=ring) for part in local])
        tensors[f"new_{name}_perm_idx"] = perm[index]
        letter = "q" if name == "row" else "k"
        tensors[f"transpose_matrix_{letter}"] = sent[index]
        tensors[f"transpose_matrix_{letter}_T"] = sent.T[index]
        if name == "row":
            tensors["new_row_deperm_idx"] = np.argsort(perm, axis=1)[index]
            tensors["transpose_matrix_o"] = sent.T[index]
            tensors["transpose_matrix_o_T"] = sent[index]
    return tensors


def _dbsp(plan):
    files = {"cells.json": {}}
    for cell in _cells(plan):
        number = plan.strategies.index(cell.strategy)
        files["cells.json"][f"{cell.step},{cell.layer}"] = f"strategy{number}.npz"
        if f"strategy{number}.npz" not in files:
            files[f"strategy{number}.npz"] = dbsp_tensors(cell)
    return files


RUNTIMES = {
    "xdit": Runtime(_plain(
        _XDIT + "xfuser/config/args.py, one --ulysses_degree and --ring_degree",
        (("alltoall", "ring"), _XDIT + "xfuser/model_executor/layers/usp.py"),
        _XDIT + "xfuser/model_executor/layers/usp.py, heads dealt in equal groups"),
        _xdit),
    "diffusers": Runtime(_plain(
        _DIFFUSERS + "src/diffusers/models/_modeling_parallel.py, ContextParallelConfig",
        (("alltoall", "allgather"), _DIFFUSERS + "_modeling_parallel.py, rotate_method allgather"),
        _DIFFUSERS + "_modeling_parallel.py, ulysses_anything for uneven heads")
        + [Rule(_one_pass_at_a_time, _DIFFUSERS + "_modeling_parallel.py, no CFG parallelism")],
        _diffusers),
    "fastvideo": Runtime(_plain(
        _FASTVIDEO + "fastvideo/fastvideo_args.py, sp_size",
        (("alltoall",), _FASTVIDEO + "fastvideo/attention/layer.py, all-to-all of heads"),
        _FASTVIDEO + "fastvideo/models/dits/wanvideo.py, heads divisible by the parallel size")
        + [Rule(_no_ring, _FASTVIDEO + "fastvideo/fastvideo_args.py, no ring degree"),
           Rule(_one_pass_at_a_time, _FASTVIDEO + "fastvideo/fastvideo_args.py, no CFG degree")],
        _fastvideo),
    "lightx2v": Runtime(_plain(
        _LIGHTX2V + "lightx2v/utils/set_config.py, seq_p_size and cfg_p_size",
        (("alltoall", "ring"), _LIGHTX2V + "lightx2v/common/ops/attn, seq_p_attn_type"),
        _LIGHTX2V + "lightx2v/common/ops/attn/ulysses_attn.py, heads divisible by the world size")
        + [Rule(_ulysses_or_ring,
                _LIGHTX2V + "lightx2v/common/ops/attn, one seq_p_attn_type")], _lightx2v),
    "sglang": Runtime(_plain(_SGLANG, (("alltoall", "ring"), _SGLANG), _SGLANG), _sglang),
    "vllm-omni": Runtime(_plain(_OMNI, (("alltoall", "ring"), _OMNI), _OMNI), _omni),
    "trtllm": Runtime(_plain(_TRTLLM, (("alltoall", "ring"), _TRTLLM), _TRTLLM), _trtllm),
    "db-sp": Runtime(
        [Rule(_one_degree, _DBSP + "yunchang/globals.py, one pair of process groups"),
         Rule(_exchanges("alltoall", "ring"), _DBSP + "yunchang/hybrid/attn_layer.py"),
         Rule(_no_chunks, _DBSP + "yunchang/hybrid/attn_layer.py"),
         Rule(_given_tokens, _DBSP + "yunchang/comm/extract_local.py"),
         Rule(_equal_heads, _DBSP + "yunchang/comm/all_to_all.py, equal parts"),
         Rule(_dbsp_layer, _DBSP + "yunchang/hybrid/attn_layer.py, 64-token blocks in place"),
         Rule(_one_pass_at_a_time, _DBSP + "yunchang/globals.py, no CFG degree")], _dbsp),
}


def _runtime(name):
    if name not in RUNTIMES:
        raise Error(f"runtime '{name}': expected one of {', '.join(RUNTIMES)}")
    return RUNTIMES[name]


def legal(plan, runtime):
    """What of a plan the runtime cannot run: one line per broken rule, the first cell of each.

    returns  [] for a plan that it runs
    errors   Error for a runtime that is not known
    """
    if not plan.cells:
        raise Error(f"{plan.origin}: key 'cells': expected at least one cell, found none")
    problems = []
    for rule in _runtime(runtime).rules:
        broken = list(rule.check(plan))
        if broken:
            cell, what = broken[0]
            more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            problems.append(f"{cell.name}{more}: {what} ({rule.source})")
    return problems


def export(plan, runtime, folder):
    """Writes a runtime's settings for a plan into a new folder.

    Always `export.json` with the plan's workload and hash. `head_orders.npy` [layers, heads] where
    heads are not in their given order: the weights must be folded with it (dbsp.fold_heads).
    returns  names of the files
    errors   Error with the first broken rule, or where the folder exists; nothing is then written
    """
    problems = legal(plan, runtime)
    if problems:
        raise Error(f"{problems[0]}; {runtime} cannot run this plan; plan with the families and "
                    "degrees that it has")
    if os.path.lexists(folder):
        raise Error(f"{folder}: exists; name a new folder")
    files = dict(_runtime(runtime).settings(plan))
    files["export.json"] = {"runtime": runtime, "workload": plan.workload_name,
                          "workload_hash": plan.workload_hash, "ranks": plan.ranks}
    orders = {cell.layer: cell.head_order() for cell in _cells(plan)}
    orders = np.stack([orders[layer] for layer in sorted(orders)])
    if runtime != "db-sp" and np.any(orders != np.arange(plan.shape.heads)):
        files["head_orders.npy"] = orders
    parent = os.path.dirname(os.path.abspath(folder))
    temporary = None
    try:
        temporary = tempfile.mkdtemp(prefix=".dbsp-", dir=parent)
        for name, content in files.items():
            _write(os.path.join(temporary, name), content)
        os.chmod(temporary, 0o755)
        os.rename(temporary, folder)
    except OSError as error:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        raise Error(f"{folder}: cannot be written: {error.strerror}") from None
    return sorted(files)


def _write(path, content):
    if path.endswith(".npy"):
        np.save(path, content)
    elif path.endswith(".npz"):
        np.savez(path, **content)
    else:
        text = content if isinstance(content, str) else json.dumps(content, indent=1,
                                                                   sort_keys=True) + "\n"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
