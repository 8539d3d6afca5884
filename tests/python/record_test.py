#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dbsp.record: what it writes, and its patches over modules with the documented functions.

Arguments: the program dbsp-workload, then those of unittest. Without the program the tests that
merge are skipped. Exit code 77 where numpy is missing.
"""

import json
import os
import subprocess
import sys
import tempfile
import types
import unittest

try:
    import numpy as np
except ImportError:
    print("skipped: numpy is not installed for", sys.executable)
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "python"))
from dbsp import record  # noqa: E402

TOOL = sys.argv.pop(1) if len(sys.argv) > 1 and os.path.exists(sys.argv[1]) else None
RNG = np.random.default_rng(7)


def masks(*shape):
    return RNG.random(shape) < 0.4


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    header = json.loads(data[8:8 + length])
    meta = header.pop("__metadata__")
    arrays = {}
    for name, entry in header.items():
        begin, end = (8 + length + at for at in entry["data_offsets"])
        dtype = {"I32": np.int32, "U8": np.uint8}[entry["dtype"]]
        arrays[name] = np.frombuffer(data[begin:end], dtype).reshape(entry["shape"])
    return meta, arrays


def ordinals(mask, order=False):
    """Counts and padded lists of columns, as FlexAttention and VSA hold them."""
    counts = mask.sum(-1).astype(np.int32)
    keys = np.where(mask, RNG.random(mask.shape) if order else 0, 1)
    lists = np.argsort(keys, axis=-1, kind="stable").astype(np.int32)
    return counts, lists


def deltas(mask):
    counts, lists = ordinals(mask)
    used = np.arange(mask.shape[-1]) < counts[..., None]
    steps = np.where(used, np.diff(lists, axis=-1, prepend=0), -7)
    return counts, steps.astype(np.int32)


class Tensor:
    """As much of a torch tensor as the recorder may use."""

    def __init__(self, array):
        self.array, self.shape = np.asarray(array), np.shape(array)

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.array


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def recorder(self, **changes):
        """4 heads of 2 x 4 x 16 tokens in blocks of 16 x 8: 8 x 16 blocks."""
        given = dict(model="toy", grid=(2, 4, 16), block=(16, 8), heads=(0, 4), layers=2, steps=2)
        return record.Recorder(self.folder.name, **{**given, **changes})

    def masks_of(self, recorder):
        """Recorded masks as {(step, layer, pass, head): mask}."""
        meta, arrays = read(recorder.write())
        bits = np.unpackbits(arrays["mask_bits"], axis=-1, bitorder="little")
        self.assertEqual(bits[..., int(meta["mask_cols"]):].sum(), 0)
        bits = bits[..., :int(meta["mask_cols"])].astype(bool)
        return {tuple(row[:4]): bits[row[4]] for row in arrays["cells"].tolist()}

    def refused(self, words, call, *args, **kwargs):
        with self.assertRaises(ValueError) as caught:
            call(*args, **kwargs)
        for word in words:
            self.assertIn(word, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))


class RecorderTest(Case):
    def test_masks_come_back_with_global_heads(self):
        recorder = self.recorder(heads=[3, 1], all_heads=4, rank=2, token_order="tiles",
                                 runtime="xdit", prompt="p1")
        given = masks(2, 2, 2, 8, 16)
        for step in range(2):
            recorder.step(step)
            for layer in range(2):
                recorder.add(Tensor(given[step, layer]))
        found = self.masks_of(recorder)
        self.assertEqual(len(found), 8)
        for (step, layer, number, head), mask in found.items():
            self.assertEqual(number, 0)
            np.testing.assert_array_equal(mask, given[step, layer, [3, 1].index(head)])
        meta, _ = read(recorder.path())
        self.assertEqual(meta, {"format": "dbsp.recording/1", "mask_cols": "16", "model": "toy",
                                "grid": "2,4,16", "text_tokens": "0", "block": "16x8",
                                "steps": "2", "passes": "1", "rank": "2", "prompt": "p1",
                                "token_order": "tiles", "runtime": "xdit", "layers": "2",
                                "heads": "4"})
        self.assertTrue(recorder.path().endswith("p1.rank0002.safetensors"))

    def test_equal_masks_are_stored_once(self):
        recorder = self.recorder()
        mask = masks(8, 16)
        for step in range(2):
            recorder.step(step)
            recorder.add(mask)
            recorder.add(np.stack([mask] * 4))
        _, arrays = read(recorder.write())
        self.assertEqual(arrays["mask_bits"].shape, (1, 8, 2))
        self.assertEqual(arrays["cells"].shape, (16, 5))

    def test_passes_are_a_batch_or_calls(self):
        given = masks(2, 4, 8, 16)
        batch, calls = self.recorder(passes=2), self.recorder(passes=2, rank=1)
        batch.step(0)
        batch.add(given)
        for number in range(2):
            calls.step(0, number)
            calls.add(given[number])
        one, two = self.masks_of(batch), self.masks_of(calls)
        self.assertEqual(one.keys(), two.keys())
        for cell in one:
            np.testing.assert_array_equal(one[cell], two[cell])

    def test_wrong_calls_are_one_line(self):
        recorder = self.recorder()
        mask = masks(4, 8, 16)
        self.refused(["call step()"], recorder.add, mask)
        self.refused(["step 2", "2 steps"], recorder.step, 2)
        recorder.step(0)
        self.refused(["[8, 17]", "8 x 16 blocks of 16x8", "128 tokens"], recorder.add, masks(8, 17))
        self.refused(["3, 8, 16", "4 heads"], recorder.add, masks(3, 8, 16))
        self.refused(["batch of 1"], recorder.add, masks(2, 4, 8, 16))
        self.refused(["element [0, 0] is 0.5"], recorder.add, np.full((8, 16), 0.5))
        self.refused(["[2, 1] is 2"], recorder.add, 2 * (np.arange(128).reshape(8, 16) == 33))
        recorder.add(mask)
        recorder.layer(0)
        self.refused(["layer 0", "head 0", "another mask"], recorder.add, ~mask)
        recorder.layer(0)
        recorder.add(mask)  # the same again
        recorder.layer(2)
        self.refused(["layer 2", "2 layers"], recorder.add, mask)
        recorder.layer(-1)
        self.refused(["layer -1"], recorder.add, mask)
        self.refused(["no mask was recorded"], self.recorder(rank=9).write)
        self.refused(["heads"], self.recorder, heads=[0, 0])
        self.refused(["heads"], self.recorder, heads=[])
        self.refused(["grid"], self.recorder, grid=(2, 4))

    def test_a_file_is_whole_or_absent(self):
        with self.assertRaises(KeyError):
            record.write_safetensors(os.path.join(self.folder.name, "x.safetensors"),
                                     {"a": np.zeros(2, np.float64)}, {})
        with self.assertRaises(ZeroDivisionError):
            with self.recorder() as recorder:
                recorder.step(0)
                recorder.add(masks(8, 16))
                _ = 1 / 0
        self.assertEqual(os.listdir(self.folder.name), [])
        with self.recorder(prompt="a/b c") as recorder:
            recorder.step(0)
            recorder.add(masks(8, 16))
        self.assertEqual(os.listdir(self.folder.name), [os.path.basename(recorder.path())])
        self.assertRegex(recorder.path(), r"a_b_c-[0-9a-f]{8}\.rank0000\.safetensors$")


class ConversionTest(Case):
    def test_every_layout_gives_the_same_bits(self):
        for cols in (1, 7, 16, 70):
            mask = masks(2, 3, 5, cols)
            np.testing.assert_array_equal(record.from_lists(*ordinals(mask, True), cols), mask)
            np.testing.assert_array_equal(record.from_lists(*deltas(mask), cols, delta=True), mask)
            rows = mask.reshape(-1, cols)
            ends = np.concatenate([[0], np.cumsum(rows.sum(1))])
            indices = np.concatenate([np.nonzero(row)[0] for row in rows] + [np.zeros(256, int)])
            indptr = np.stack([ends[m * 5:m * 5 + 6] for m in range(6)]).reshape(2, 3, 6)
            np.testing.assert_array_equal(record.from_bsr(indptr, indices, cols), mask)
            restarted = indptr - indptr[..., :1]
            np.testing.assert_array_equal(record.from_bsr(restarted, indices, cols), mask)

    def test_variable_blocks_cover_their_tokens(self):
        sizes = (np.array([[5, 0, 11, 16], [8, 8, 8, 8]]), np.array([[3, 29, 0], [10, 12, 10]]))
        mask = masks(2, 4, 3)
        got = record.from_variable_blocks(mask, *sizes, (8, 4))
        for head in range(2):
            rows = np.repeat(np.arange(4), sizes[0][head])
            cols = np.repeat(np.arange(3), sizes[1][head])
            tokens = mask[head][rows][:, cols]
            np.testing.assert_array_equal(got[head], tokens.reshape(4, 8, 8, 4).any((1, 3)))

    def test_lists_that_lie_are_refused(self):
        one = np.array([2])
        self.refused(["twice"], record.from_lists, one, np.array([[1, 1]]), 4)
        self.refused(["0 to 3"], record.from_lists, one, np.array([[1, 4]]), 4)
        self.refused(["0 to 3"], record.from_lists, one, np.array([[-1, 2]]), 4)
        self.refused(["0 to 3"], record.from_lists, one, np.array([[2, 2]]), 4, delta=True)
        self.refused(["twice"], record.from_lists, one, np.array([[2, 0]]), 4, delta=True)
        self.refused(["3 or 3 blocks"], record.from_lists, np.array([3]), np.array([[1, 2]]), 4)
        self.refused(["equal shapes"], record.from_lists, one, np.array([1, 2]), 4)
        self.refused(["mask 0"], record.from_bsr, np.array([0, 2, 1]), np.array([0, 1]), 4)
        self.refused(["2 columns"], record.from_bsr, np.array([0, 1, 2]), np.array([0]), 4)
        self.refused(["twice"], record.from_bsr, np.array([0, 2]), np.array([1, 1]), 4)
        self.refused(["sums differ"], record.from_variable_blocks, masks(2, 1, 1),
                     np.array([[4], [5]]), np.array([[4], [4]]), (2, 2))


class PatchTest(Case):
    """Each stub has the signature of the library's function (docs/formats/recording.md)."""

    def check(self, recorder, given):
        found = self.masks_of(recorder)
        self.assertEqual(len(found), len(given) * 4)
        for (step, layer, _, head), mask in found.items():
            np.testing.assert_array_equal(mask, given[layer][head], f"{step} {layer} {head}")

    def test_spargeattn(self):
        given = [masks(4, 8, 16), masks(4, 8, 16), np.ones((4, 8, 16), bool)]

        def block_sparse_sage2_attn_cuda(q, k, v, mask_id=None, dropout_p=0.0, scale=None,
                                         smooth_k=True, pvthreshd=50, attention_sink=False,
                                         tensor_layout="HND", output_dtype=None,
                                         return_sparsity=False):
            return "out"

        def get_block_map_meansim_fuse_quant(q, k, km=None, is_causal=False, BLKQ=128, BLKK=64,
                                             simthreshd1=0.1, cdfthreshd=0.9, topk=None,
                                             is_sparse=True, return_lut=False,
                                             attention_sink=False):
            counts, lut = deltas(q)
            return Tensor(lut[None]), Tensor(counts[None]), None, None, None, None

        core = types.SimpleNamespace(
            block_sparse_sage2_attn_cuda=block_sparse_sage2_attn_cuda,
            get_block_map_meansim_fuse_quant=get_block_map_meansim_fuse_quant)
        package = types.SimpleNamespace(block_sparse_sage2_attn_cuda=block_sparse_sage2_attn_cuda)
        recorder = self.recorder(layers=3)
        recorder.step(0)
        with record.patch_spargeattn(recorder, package, core):
            self.assertEqual(package.block_sparse_sage2_attn_cuda(
                1, 2, 3, mask_id=Tensor(given[0][None].astype(np.int8))), "out")
            core.get_block_map_meansim_fuse_quant(given[1], None, None, is_causal=False,
                                                  simthreshd1=0.1, return_lut=True)
            package.block_sparse_sage2_attn_cuda(1, 2, 3)
        package.block_sparse_sage2_attn_cuda(1, 2, 3)  # the patch is undone
        self.check(recorder, given)

    def test_flexattention(self):
        partial, full = masks(1, 4, 8, 16), masks(1, 4, 8, 16)
        partial &= ~full

        def flex_attention(query, key, value, score_mod=None, block_mask=None, scale=None,
                           enable_gqa=False, return_lse=False, kernel_options=None):
            return query

        counts, lists = ordinals(partial)
        full_counts, full_lists = ordinals(full)
        block_mask = types.SimpleNamespace(
            kv_num_blocks=Tensor(counts), kv_indices=Tensor(lists),
            full_kv_num_blocks=Tensor(full_counts), full_kv_indices=Tensor(full_lists))
        plain = types.SimpleNamespace(kv_num_blocks=Tensor(counts[:, :1]),
                                      kv_indices=Tensor(lists[:, :1]), full_kv_num_blocks=None)
        module = types.SimpleNamespace(flex_attention=flex_attention)
        q, text = np.zeros((1, 4, 128, 64)), np.zeros((1, 4, 77, 64))
        recorder = self.recorder(layers=3)
        recorder.step(0)
        with record.patch_flexattention(recorder, module):
            module.flex_attention(q, q, q, block_mask=block_mask)
            module.flex_attention(q, text, text)  # cross-attention is not recorded
            module.flex_attention(q, q, q, None, plain)
            module.flex_attention(q, q, q)
        self.check(recorder, [(partial | full)[0], np.repeat(partial[0, :1], 4, 0),
                              np.ones((4, 8, 16), bool)])

    def test_fastvideo(self):
        def block_sparse_attn_from_indices(q, k, v, q2k_idx, q2k_num, variable_block_sizes):
            return None

        module = types.SimpleNamespace(
            block_sparse_attn_from_indices=block_sparse_attn_from_indices)
        recorder = self.recorder(grid=(5, 6, 7), tile=(4, 4, 4), block=(64, 64))
        recorder.step(0)
        mask = np.zeros((1, 4, 8, 8), bool)
        order = np.argsort(RNG.random(mask.shape), axis=-1)[..., :3].astype(np.int32)
        np.put_along_axis(mask, order, True, axis=-1)
        sizes = np.array([64, 48, 32, 24, 16, 12, 8, 6], np.int32)
        with record.patch_fastvideo(recorder, module):
            module.block_sparse_attn_from_indices(
                0, 0, 0, Tensor(order), Tensor(np.full((1, 4, 8), 3)), Tensor(sizes))
            self.refused(["variable block sizes"], module.block_sparse_attn_from_indices, 0, 0, 0,
                         order, np.full((1, 4, 8), 3), sizes[::-1])
        self.check(recorder, [mask[0]])
        meta, arrays = read(recorder.path())
        np.testing.assert_array_equal(arrays["variable_block_sizes"], sizes)
        self.assertEqual((meta["grid"], meta["video_grid"]), ("8,8,8", "5,6,7"))

    def test_flashinfer(self):
        class BlockSparseAttentionWrapper:
            def plan(self, indptr, indices, M, N, R, C, num_qo_heads, num_kv_heads, head_dim,
                     mask=None, packed_mask=None, causal=False):
                return None

            def run(self, q, k, v, scale_q=None):
                return q

        mask = masks(8, 16)
        indptr = np.concatenate([[0], np.cumsum(mask.sum(1))])
        wrapper = BlockSparseAttentionWrapper()
        recorder = self.recorder()
        recorder.step(0)
        module = types.SimpleNamespace(BlockSparseAttentionWrapper=BlockSparseAttentionWrapper)
        with record.patch_flashinfer(recorder, module):
            wrapper.plan(indptr, np.nonzero(mask)[1], 128, 128, 16, 8, 4, 4, 64)
            wrapper.run(1, 2, 3)
            wrapper.run(1, 2, 3)  # one plan for several layers
        self.check(recorder, [np.stack([mask] * 4)] * 2)

    def test_sparse_videogen(self):
        def dynamic_block_sparse_fwd_flashinfer(q, k, v, block_mask_map, block_row_sz,
                                                block_col_sz, is_cpu=True):
            return q

        module = types.SimpleNamespace(
            dynamic_block_sparse_fwd_flashinfer=dynamic_block_sparse_fwd_flashinfer)
        mask = masks(1, 4, 3, 2)
        rows = np.broadcast_to([16, 48, 64], (1, 4, 3))
        cols = np.broadcast_to([120, 8], (1, 4, 2))
        recorder = self.recorder()
        recorder.step(0)
        with record.patch_sparse_videogen(recorder, module):
            module.dynamic_block_sparse_fwd_flashinfer(0, 0, 0, mask, rows, cols, is_cpu=False)
        self.check(recorder, [np.repeat(np.repeat(mask[0], [1, 3, 4], 1), [15, 1], 2)])

    def test_paroattention(self):
        def qk_int8_sv_f16_accum_f16_attn(q, k, v, o, q_scale, k_scale, tensor_layout, is_causal,
                                          qk_quant_gran, sm_scale, return_lse, sparse):
            return None

        module = types.SimpleNamespace(qk_int8_sv_f16_accum_f16_attn=qk_int8_sv_f16_accum_f16_attn)
        mask = masks(1, 4, 8, 16)
        recorder = self.recorder()
        recorder.step(1)
        with record.patch_paroattention(recorder, module):
            module.qk_int8_sv_f16_accum_f16_attn(*[0] * 11, Tensor(mask.reshape(-1)))
        self.check(recorder, [mask[0]])

    def test_radial(self):
        mask = masks(8, 16)

        class MaskMap:
            def queryLogMask(self, query, sparse_type, block_size=128, decay_factor=0.5,
                             model_type=None):
                return Tensor(mask)

        def RadialAttention(query, key, value, mask_map=None, sparsity_type="radial",
                            block_size=128, decay_factor=1, model_type=None,
                            pre_defined_mask=None, use_sage_attention=False):
            if sparsity_type != "dense":
                mask_map.queryLogMask(query, sparsity_type, block_size=block_size)

        module = types.SimpleNamespace(MaskMap=MaskMap, RadialAttention=RadialAttention)
        recorder = self.recorder()
        recorder.step(0)
        with record.patch_radial(recorder, module):
            module.RadialAttention(0, 0, 0, mask_map=MaskMap(), sparsity_type="dense")
            module.RadialAttention(0, 0, 0, mask_map=MaskMap(), sparsity_type="radial")
        self.check(recorder, [np.ones((4, 8, 16), bool), np.stack([mask] * 4)])

    def test_lightx2v(self):
        mask = masks(1, 4, 8, 16)

        class Generator:
            def __call__(self, q, k):
                return Tensor(mask)

        recorder = self.recorder()
        recorder.step(0)
        with record.patch_lightx2v(recorder, Generator):
            Generator()(0, 0)
        Generator()(0, 0)
        self.check(recorder, [mask[0]])

    def test_another_version_is_refused_and_undone(self):
        class Wrapper:
            def plan(self):
                return "plan"

        module = types.SimpleNamespace(BlockSparseAttentionWrapper=Wrapper)
        plan = Wrapper.plan
        self.refused(["Wrapper", "'run'"], record.patch_flashinfer, self.recorder(), module)
        self.assertIs(Wrapper.plan, plan)


@unittest.skipIf(TOOL is None, "the program dbsp-workload was not given")
class MergeTest(Case):
    """What the recorder writes is what dbsp-workload reads."""

    def run_tool(self, *arguments):
        return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True,
                              check=False)

    def exported(self, workload, step, layer):
        out = os.path.join(self.folder.name, "mask.npy")
        done = self.run_tool("export", workload, "--step", step, "--layer", layer, "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        return np.load(out)

    def test_ranks_and_prompts_are_merged(self):
        given = {prompt: masks(2, 2, 4, 8, 16) for prompt in ("a cat", "p2")}
        for prompt, cells in given.items():
            for rank, heads in enumerate(([2, 0], [1, 3])):
                with self.recorder(heads=heads, rank=rank, prompt=prompt) as recorder:
                    for step in range(2):
                        recorder.step(step)
                        for layer in range(2):
                            recorder.add(cells[step, layer, heads])
        workload = os.path.join(self.folder.name, "w.json")
        done = self.run_tool("merge", self.folder.name, "-o", workload)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 prompts: 'a cat', 'p2'", done.stderr)
        for prompt, cells in given.items():
            name = workload.replace("w.json", f"w.{prompt.replace(' ', '_')}.json")
            for step in range(2):
                for layer in range(2):
                    np.testing.assert_array_equal(self.exported(name, step, layer),
                                                  cells[step, layer])

    def test_tiles_of_vsa_are_padded_as_the_rule_vsa_does(self):
        mask = masks(4, 8, 8)
        with self.recorder(grid=(5, 6, 7), tile=(4, 4, 4), block=(64, 64), layers=1,
                           steps=1) as recorder:
            recorder.step(0)
            recorder.add(mask)
            recorder.block_sizes([64, 48, 32, 24, 16, 12, 8, 6])
        workload = os.path.join(self.folder.name, "w.json")
        done = self.run_tool("merge", recorder.path(), "-o", workload)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("302 of 512 tokens are padding of tiles", done.stderr)
        np.testing.assert_array_equal(self.exported(workload, 0, 0), mask)

    def test_a_rank_that_is_missing_is_refused(self):
        with self.recorder(heads=(0, 2), all_heads=4) as recorder:
            recorder.step(0)
            recorder.add(masks(2, 8, 16))
        done = self.run_tool("merge", self.folder.name, "-o", os.path.join(self.folder.name, "w"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("head 2; merge the files of all ranks", done.stderr)
        self.assertEqual(len(os.listdir(self.folder.name)), 1)


if __name__ == "__main__":
    unittest.main()
