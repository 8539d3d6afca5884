# SPDX-License-Identifier: Apache-2.0
"""Records the block masks of a running model. `dbsp-workload merge` joins the files of all ranks.

    from dbsp import record
    recorder = record.Recorder("dump", model="wan2.1-t2v-14b-720p", grid=(21, 45, 80),
                               block=(128, 64), heads=(5 * rank, 5), rank=rank, steps=50,
                               runtime="xdit")
    with recorder, record.patch_spargeattn(recorder):
        for step in range(50):
            recorder.step(step)     # the calls of a step are its layers, in order
            denoise(step)

Masks are numpy arrays, or tensors with detach(), cpu() and numpy(). Each distinct mask is kept in
memory once, with one bit per block. write() makes one file; docs/formats/recording.md describes it.
Errors are ValueError with one line that says which cell, what was found and what was expected.
"""

import functools
import hashlib
import importlib
import json
import os
import re
import tempfile

import numpy as np

FORMAT = "dbsp.recording/1"


def to_numpy(array):
    """A numpy array of a tensor or of anything that numpy reads."""
    for name in ("detach", "cpu", "numpy"):
        if hasattr(array, name):
            array = getattr(array, name)()
    return np.asarray(array)


def _blocks(tokens, side):
    return -(-tokens // side)


# --- masks from what libraries hold ---


def as_mask(mask):
    """bool array of a mask. Elements are 0, 1, 255, False or True."""
    mask = to_numpy(mask)
    if mask.dtype == bool:
        return mask
    wrong = ~np.isin(mask, (0, 1, 255))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"mask element {list(place)} is {mask[place]}, expected 0, 1, 255 or bool")
    return mask != 0


def from_lists(counts, columns, cols, delta=False):
    """Mask [.., Q, cols] of counts [.., Q] and columns [.., Q, n].

    The first counts[..] entries of a row are its columns in any order. With `delta` the first is a
    column and the others are steps to the next one, as SpargeAttn's lut. Later entries are ignored.
    """
    counts, columns = to_numpy(counts).astype(np.int64), to_numpy(columns).astype(np.int64)
    if columns.shape[:-1] != counts.shape:
        raise ValueError(f"counts {list(counts.shape)} and columns {list(columns.shape)}: expected "
                         "equal shapes and one more dimension")
    if counts.size and (counts.min() < 0 or counts.max() > min(columns.shape[-1], cols)):
        raise ValueError(f"a row has {counts.max()} or {counts.min()} blocks, expected 0 to "
                         f"{min(columns.shape[-1], cols)}")
    used = np.arange(columns.shape[-1]) < counts[..., None]
    if delta:
        columns = np.cumsum(np.where(used, columns, 0), axis=-1)
    named = columns[used]
    if named.size and (named.min() < 0 or named.max() >= cols):
        raise ValueError(f"a row names blocks {named.min()} to {named.max()}, expected 0 to "
                         f"{cols - 1}; check delta, the block size and the number of tokens")
    mask = np.zeros((counts.size, cols), bool)
    mask[np.nonzero(used.reshape(counts.size, -1))[0], named] = True
    mask = mask.reshape(counts.shape + (cols,))
    if not np.array_equal(mask.sum(axis=-1), counts):
        raise ValueError("a row names a block twice; check delta")
    return mask


def from_bsr(indptr, indices, cols):
    """Mask [.., Q, cols] of row pointers [.., Q + 1] and columns [nnz] or [.., n].

    The pointers continue over all masks or start at 0 in each. Columns behind the last pointer are
    padding.
    """
    indptr, indices = to_numpy(indptr).astype(np.int64), to_numpy(indices).astype(np.int64)
    flat = indptr.reshape(-1, indptr.shape[-1])
    own = indices.ndim > 1
    rows = indices.reshape(len(flat), -1) if own else indices
    mask = np.zeros((len(flat), flat.shape[1] - 1, cols), bool)
    at = 0
    for m, pointers in enumerate(flat):
        counts = np.diff(pointers)
        total = int(pointers[-1] - pointers[0])
        begin = 0 if own else at
        if (counts < 0).any() or pointers[0] not in (0, begin):
            raise ValueError(f"indptr of mask {m} begins with {pointers[0]} or decreases, expected "
                             f"a start of 0 or {begin}")
        named = (rows[m] if own else rows)[begin:begin + total]
        if len(named) < total or (total and (named.min() < 0 or named.max() >= cols)):
            raise ValueError(f"indices of mask {m}: expected {total} columns from 0 to {cols - 1}")
        mask[m, np.repeat(np.arange(len(counts)), counts), named] = True
        if mask[m].sum() != total:
            raise ValueError(f"indices of mask {m} name a block twice")
        at += total
    return mask.reshape(indptr.shape[:-1] + mask.shape[1:])


def from_block_mask(block_mask):
    """Mask [B, H, Q, K] of FlexAttention's BlockMask: partial and full blocks are active."""
    cols = to_numpy(block_mask.kv_indices).shape[-1]
    mask = from_lists(block_mask.kv_num_blocks, block_mask.kv_indices, cols)
    if getattr(block_mask, "full_kv_num_blocks", None) is not None:
        mask = mask | from_lists(block_mask.full_kv_num_blocks, block_mask.full_kv_indices, cols)
    return mask


def from_variable_blocks(mask, row_sizes, col_sizes, block):
    """Mask in blocks of `block` tokens of a mask [.., q, k] over blocks of sizes [.., q], [.., k].

    A block is active if it holds a pair of an active variable block. The tokens are in the order of
    the variable blocks.
    """
    mask, sides = as_mask(mask), []
    for sizes, count, side in ((row_sizes, mask.shape[-2], block[0]),
                               (col_sizes, mask.shape[-1], block[1])):
        sizes = np.broadcast_to(to_numpy(sizes).astype(np.int64), mask.shape[:-2] + (count,))
        sizes = sizes.reshape(-1, count)
        if (sizes < 0).any() or (sizes.sum(axis=1) != sizes[0].sum()).any():
            raise ValueError("block sizes are negative or their sums differ between heads")
        ends = np.cumsum(sizes, axis=1)
        begin = np.arange(_blocks(int(ends[0, -1]), side))[:, None] * side
        starts = ends - sizes
        sides.append((starts[:, None] < begin + side) & (ends[:, None] > begin) &
                     (sizes[:, None] > 0))
    flat = mask.reshape((-1,) + mask.shape[-2:])
    found = [(a.astype(np.float32) @ m @ b.T.astype(np.float32)) > 0
             for a, m, b in zip(sides[0], flat.astype(np.float32), sides[1])]
    return np.stack(found).reshape(mask.shape[:-2] + found[0].shape)


# --- the recorder ---


class Recorder:
    """Collects the masks of one rank and one prompt.

    model      preset of dbsp-workload, or any name
    grid       (frames, height, width) of the latent video in tokens
    block      (query, key) tokens of a block
    heads      global numbers of this rank's heads: (first, count), or a list
    steps      denoising steps of the run
    tile       (t, h, w) tokens of VSA's tiles: the grid is padded to whole tiles
    all_heads, layers, head_dim   of the model; without them those of the preset, or those recorded
    passes     guidance passes with masks of their own
    """

    def __init__(self, folder, *, model, grid, block, heads, rank=0, steps=1, layers=None,
                 all_heads=None, head_dim=None, passes=1, text_tokens=0, tile=None, token_order="",
                 runtime="", prompt=""):
        self.folder, self.rank, self.prompt = os.fspath(folder), int(rank), str(prompt)
        self.grid = tuple(int(side) for side in grid)
        self.block = tuple(int(side) for side in block)
        if len(self.grid) != 3 or len(self.block) != 2 or min(self.grid + self.block) < 1:
            raise ValueError(f"grid {grid}, block {block}: expected (frames, height, width) and "
                             "(query, key) of at least 1")
        whole = self.grid
        if tile is not None:
            whole = tuple(_blocks(n, t) * t for n, t in zip(self.grid, tile))
        self.heads = (list(range(heads[0], heads[0] + heads[1]))
                      if isinstance(heads, tuple) and len(heads) == 2 else [int(h) for h in heads])
        if not self.heads or len(set(self.heads)) != len(self.heads) or min(self.heads) < 0:
            raise ValueError(f"heads {heads}: expected (first, count) or different numbers from 0")
        self.steps, self.passes, self.layers = int(steps), int(passes), layers
        self.tokens = whole[0] * whole[1] * whole[2] + int(text_tokens)
        self.shape = (_blocks(self.tokens, self.block[0]), _blocks(self.tokens, self.block[1]))
        meta = {"model": model, "grid": ",".join(map(str, whole)), "text_tokens": text_tokens,
                "block": f"{self.block[0]}x{self.block[1]}", "steps": steps, "passes": passes,
                "rank": rank, "prompt": prompt, "token_order": token_order, "runtime": runtime,
                "layers": layers, "heads": all_heads, "head_dim": head_dim,
                "video_grid": ",".join(map(str, self.grid)) if whole != self.grid else None}
        self._meta = {key: str(value) for key, value in meta.items() if value is not None}
        self._index, self._bits, self._cells, self._sizes = {}, [], {}, None
        self._step, self._pass, self._layer, self._calls = None, 0, None, 0

    def step(self, step, guidance_pass=0):
        """Begins a denoising step, and a guidance pass where each pass is a call of its own."""
        if not 0 <= step < self.steps or not 0 <= guidance_pass < self.passes:
            raise ValueError(f"step {step}, pass {guidance_pass}: expected less than {self.steps} "
                             f"steps and {self.passes} passes")
        self._step, self._pass, self._layer, self._calls = step, guidance_pass, None, 0

    def layer(self, layer):
        """The layer of the next add(). Without it the calls of a step count the layers."""
        self._layer = layer

    def add(self, mask, heads=None):
        """Records masks [Q, K], [H, Q, K] or [B, H, Q, K] of this rank's heads, or of `heads`.

        H = 1 holds for all heads. B is 1 or the number of passes.
        """
        mask = as_mask(mask)
        heads = self.heads if heads is None else list(heads)
        layer = self._calls if self._layer is None else self._layer
        where = f"step {self._step}, layer {layer}"
        if self._step is None:
            raise ValueError("a mask before step(): call step() first")
        if self.layers is not None and not 0 <= layer < self.layers:
            raise ValueError(f"{where}: expected less than {self.layers} layers; call layer() "
                             "where other calls lie between the layers")
        if not 2 <= mask.ndim <= 4 or mask.shape[-2:] != self.shape:
            raise ValueError(f"{where}: mask {list(mask.shape)}, expected {self.shape[0]} x "
                             f"{self.shape[1]} blocks of {self._meta['block']} for {self.tokens} "
                             "tokens")
        mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
        if mask.shape[0] not in (1, self.passes) or mask.shape[1] not in (1, len(heads)):
            raise ValueError(f"{where}: mask {list(mask.shape)}, expected a batch of 1 or "
                             f"{self.passes} passes, and 1 or {len(heads)} heads")
        for batch in range(mask.shape[0]):
            number = batch if mask.shape[0] > 1 else self._pass
            found = [self._store(mask[batch, h]) for h in range(mask.shape[1])]
            for position, head in enumerate(heads):
                cell = (self._step, layer, number, head)
                index = found[position if len(found) > 1 else 0]
                if self._cells.setdefault(cell, index) != index:
                    raise ValueError(f"{where}, pass {number}, head {head}: recorded before with "
                                     "another mask; call step() and layer() before each call")
        self._calls, self._layer = self._calls + 1, None

    def add_dense(self):
        """Records a layer whose masks have every block."""
        self.add(np.ones(self.shape, bool))

    def block_sizes(self, sizes):
        """Records the valid tokens of each tile, VSA's variable_block_sizes."""
        sizes = to_numpy(sizes).astype(np.int32)
        if self._sizes is not None and not np.array_equal(sizes, self._sizes):
            raise ValueError("variable block sizes differ from those of an earlier call")
        self._sizes = sizes

    def _store(self, mask):
        packed = np.packbits(mask, axis=-1, bitorder="little")
        key = hashlib.blake2b(packed.tobytes(), digest_size=16).digest()
        if key not in self._index:
            self._index[key] = len(self._bits)
            self._bits.append(packed)
        return self._index[key]

    def path(self):
        """The file that write() makes."""
        name = f"rank{self.rank:04d}.safetensors"
        if self.prompt:
            plain = re.sub(r"[^A-Za-z0-9_-]+", "_", self.prompt)[:40]
            if plain != self.prompt:
                plain += "-" + hashlib.blake2b(self.prompt.encode(), digest_size=4).hexdigest()
            name = f"{plain}.{name}"
        return os.path.join(self.folder, name)

    def write(self):
        """Writes the file of this rank and prompt, whole or not at all, and returns its path."""
        if not self._cells:
            raise ValueError("no mask was recorded; does the model call the patched function?")
        cells = np.array([cell + (index,) for cell, index in sorted(self._cells.items())], np.int32)
        tensors = {"cells": cells, "mask_bits": np.stack(self._bits)}
        if self._sizes is not None:
            tensors["variable_block_sizes"] = self._sizes
        meta = {"format": FORMAT, "mask_cols": str(self.shape[1]), **self._meta}
        os.makedirs(self.folder, exist_ok=True)
        write_safetensors(self.path(), tensors, meta)
        return self.path()

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if error is None:
            self.write()


def write_safetensors(path, tensors, metadata):
    """Writes int32 and uint8 arrays. The file appears whole or not at all."""
    header, at = {"__metadata__": metadata}, 0
    for name, array in tensors.items():
        dtype = {"int32": "I32", "uint8": "U8"}[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path) or ".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in tensors.values():
                file.write(np.ascontiguousarray(array).tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# --- patches ---


class Patch:
    """Functions that are replaced until undo() or the end of a `with` block."""

    def __init__(self):
        self._undo = []

    def after(self, owners, name, parameters, hook):
        """Calls hook(arguments, result) after function `name` of each owner.

        `parameters` names the positional parameters, separated by blanks. A missing function is an
        error: the library has another version than the one that the patch was written for.
        """
        for owner in owners:
            if not hasattr(owner, name):
                self.undo()
                raise ValueError(f"{getattr(owner, '__name__', owner)} has no '{name}'; record "
                                 "with Recorder.add() where the masks are made")
            original = getattr(owner, name)
            setattr(owner, name, self._wrapped(original, parameters.split(), hook))
            self._undo.append((owner, name, original))
        return self

    @staticmethod
    def _wrapped(original, parameters, hook):
        @functools.wraps(original)
        def call(*args, **kwargs):
            result = original(*args, **kwargs)
            hook({**dict(zip(parameters, args)), **kwargs}, result)
            return result
        return call

    def undo(self):
        while self._undo:
            setattr(*self._undo.pop())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.undo()


def _modules(names, given):
    return list(given) or [importlib.import_module(name) for name in names]


def patch_spargeattn(recorder, *modules):
    """SpargeAttn: mask_id of block_sparse_sage2_attn_cuda, lut of the similarity methods."""
    def given(call, _):
        mask = call.get("mask_id")
        recorder.add_dense() if mask is None else recorder.add(mask)

    def found(call, result):
        if call.get("return_lut"):
            lut = to_numpy(result[0])
            recorder.add(from_lists(result[1], lut, lut.shape[-1], delta=True))

    modules = _modules(("spas_sage_attn", "spas_sage_attn.core"), modules)
    patch = Patch().after(modules, "block_sparse_sage2_attn_cuda", "q k v mask_id", given)
    core = [m for m in modules if hasattr(m, "get_block_map_meansim_fuse_quant")]
    return patch.after(core, "get_block_map_meansim_fuse_quant", "q k km is_causal BLKQ BLKK "
                       "simthreshd1 cdfthreshd topk is_sparse return_lut", found)


def patch_flexattention(recorder, *modules):
    """FlexAttention. Patch before the function is imported by name or compiled."""
    def hook(call, _):
        if call.get("block_mask") is not None:
            recorder.add(from_block_mask(call["block_mask"]))
        elif call["query"].shape[-2] == call["key"].shape[-2] == recorder.tokens:
            recorder.add_dense()  # other calls are cross-attention

    modules = _modules(("torch.nn.attention.flex_attention",), modules)
    return Patch().after(modules, "flex_attention", "query key value score_mod block_mask", hook)


def patch_fastvideo(recorder, *modules):
    """FastVideo VSA. The Recorder needs tile=(4, 4, 4) and block=(64, 64)."""
    def hook(call, _):
        cols = to_numpy(call["variable_block_sizes"]).shape[-1]
        recorder.block_sizes(call["variable_block_sizes"])
        recorder.add(from_lists(call["q2k_num"], call["q2k_idx"], cols))

    modules = _modules(("fastvideo_kernel.block_sparse_attn",), modules)
    return Patch().after(modules, "block_sparse_attn_from_indices",
                         "q k v q2k_idx q2k_num variable_block_sizes", hook)


def patch_flashinfer(recorder, *modules):
    """FlashInfer's block-sparse wrapper: plan() tells the mask, every run() records it."""
    planned = {}

    def plan(call, _):
        planned[id(call["self"])] = from_bsr(call["indptr"], call["indices"],
                                             _blocks(call["N"], call["C"]))

    def run(call, _):
        recorder.add(planned[id(call["self"])])

    owners = [m.BlockSparseAttentionWrapper for m in _modules(("flashinfer",), modules)]
    patch = Patch().after(owners, "plan", "self indptr indices M N R C", plan)
    return patch.after(owners, "run", "self q k v", run)


def patch_sparse_videogen(recorder, *modules):
    """Sparse-VideoGen 2 in the modules that call the function. Its tokens are sorted by cluster."""
    def hook(call, _):
        recorder.add(from_variable_blocks(call["block_mask_map"], call["block_row_sz"],
                                          call["block_col_sz"], recorder.block))

    return Patch().after(_modules(("svg.models.wan.attention",), modules),
                         "dynamic_block_sparse_fwd_flashinfer",
                         "q k v block_mask_map block_row_sz block_col_sz is_cpu", hook)


def patch_paroattention(recorder, *modules):
    """PAROAttention: `sparse`, the last argument of its kernel, bool [B, H, Q, K] in one row."""
    def hook(call, _):
        heads = len(recorder.heads)
        recorder.add(to_numpy(call["sparse"]).reshape((-1, heads) + recorder.shape))

    return Patch().after(_modules(("paroattention._qattn_sm80",), modules),
                         "qk_int8_sv_f16_accum_f16_attn", "q k v o q_scale k_scale tensor_layout "
                         "is_causal qk_quant_gran sm_scale return_lse sparse", hook)


def patch_radial(recorder, module):
    """Radial attention in the module that holds RadialAttention and MaskMap."""
    last = []

    def mask(_, result):
        last[:] = [result]

    def attention(call, _):
        if call.get("sparsity_type") == "dense":
            recorder.add_dense()
        elif last:
            recorder.add(last[0])
        else:
            raise ValueError("RadialAttention without a mask of MaskMap.queryLogMask")

    patch = Patch().after([module.MaskMap], "queryLogMask", "self query sparse_type", mask)
    return patch.after([module], "RadialAttention", "query key value mask_map sparsity_type",
                       attention)


def patch_lightx2v(recorder, generator):
    """LightX2V: `generator` is the class of a mask generator, called with (q, k)."""
    return Patch().after([generator], "__call__", "self q k",
                         lambda _, result: recorder.add(result))
