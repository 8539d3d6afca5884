#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dbsp.fold_heads: a model whose heads are in another order computes the same."""

import unittest

import support

support.require("numpy")
import numpy as np  # noqa: E402

import dbsp  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

HEADS, DIM, TOKENS, LAYERS = 6, 8, 40, 2
WIDTH = HEADS * DIM


def model(rng, prefix="", norm=WIDTH):
    """Weights of a toy Wan with two blocks, in its native names."""
    state = {prefix + "head.weight": rng.standard_normal((4, WIDTH))}
    for layer in range(LAYERS):
        begin = f"{prefix}blocks.{layer}.self_attn."
        for name in "qkvo":
            state[f"{begin}{name}.weight"] = rng.standard_normal((WIDTH, WIDTH)) / WIDTH ** 0.5
            state[f"{begin}{name}.bias"] = rng.standard_normal(WIDTH)
        for name in ("norm_q", "norm_k"):
            state[f"{begin}{name}.weight"] = 1 + 0.3 * rng.standard_normal(norm)
        state[f"{prefix}blocks.{layer}.cross_attn.q.weight"] = rng.standard_normal((WIDTH, WIDTH))
    return state


def lora(rng, a="lora_A", b="lora_B"):
    """Low-rank changes of every projection; peft's names by default."""
    state = {}
    for layer in range(LAYERS):
        for name in "qkvo":
            begin = f"blocks.{layer}.self_attn.{name}."
            state[f"{begin}{a}.weight"] = rng.standard_normal((3, WIDTH)) / WIDTH ** 0.5
            state[f"{begin}{b}.weight"] = rng.standard_normal((WIDTH, 3))
            state[f"{begin}alpha"] = np.array(3.0)
    return state


def normed(x, weight):
    if weight.size == DIM:  # per head
        weight = np.tile(weight, HEADS)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6) * weight


def run(state, masks, x, changes=None, a="lora_A", b="lora_B"):
    """Attention blocks with residuals. masks [layers, heads, tokens, tokens]"""
    angle = np.arange(TOKENS)[:, None] / 10 ** np.linspace(0, 2, DIM // 2)
    turn = np.exp(1j * angle)[:, None]
    for layer in range(LAYERS):
        begin = f"blocks.{layer}.self_attn."

        def project(name, value, begin=begin):
            weight = state[f"{begin}{name}.weight"]
            if changes:
                low = changes[f"{begin}{name}.{a}.weight"]
                weight = weight + changes[f"{begin}{name}.{b}.weight"] @ low
            return value @ weight.T + state[f"{begin}{name}.bias"]

        def rope(value):
            pairs = value.reshape(TOKENS, HEADS, DIM // 2, 2)
            turned = (pairs[..., 0] + 1j * pairs[..., 1]) * turn
            return np.stack([turned.real, turned.imag], axis=-1).reshape(TOKENS, HEADS, DIM)

        q = rope(normed(project("q", x), state[begin + "norm_q.weight"]))
        k = rope(normed(project("k", x), state[begin + "norm_k.weight"]))
        v = project("v", x).reshape(TOKENS, HEADS, DIM)
        score = np.einsum("ihd,jhd->hij", q, k) / DIM ** 0.5
        score = np.where(masks[layer], score, -np.inf)
        weight = np.exp(score - score.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        x = x + project("o", np.einsum("hij,jhd->ihd", weight, v).reshape(TOKENS, WIDTH))
    return x @ state["head.weight"].T


class FoldTest(unittest.TestCase):
    def setUp(self):
        self.rng = np.random.default_rng(3)
        self.orders = np.stack([self.rng.permutation(HEADS) for _ in range(LAYERS)])
        self.masks = self.rng.random((LAYERS, HEADS, TOKENS, TOKENS)) < 0.4
        self.masks |= np.eye(TOKENS, dtype=bool)
        self.moved = np.stack([self.masks[i][order] for i, order in enumerate(self.orders)])
        self.x = self.rng.standard_normal((TOKENS, WIDTH))

    def same(self, expected, found):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)

    def refused(self, pattern, state, order=None, **options):
        with self.assertRaisesRegex(dbsp.Error, pattern):
            dbsp.fold_heads(state, self.orders if order is None else order, **options)

    def test_the_folded_model_computes_the_same(self):
        for norm in (WIDTH, DIM):
            state = model(self.rng, norm=norm)
            folded = dbsp.fold_heads(state, self.orders)
            self.same(run(state, self.masks, self.x), run(folded, self.moved, self.x))
            self.assertFalse(np.allclose(run(state, self.masks, self.x),
                                         run(state, self.moved, self.x)))
            for key, value in state.items():
                if "self_attn" not in key:
                    self.assertIs(folded[key], value)

    def test_lora_is_folded_alone_and_with_every_name(self):
        state = model(self.rng)
        for a, b in (("lora_A", "lora_B"), ("lora_down", "lora_up"), ("lora_A.x", "lora_B.x")):
            change = lora(self.rng, a, b)
            self.same(run(state, self.masks, self.x, change, a, b),
                      run(dbsp.fold_heads(state, self.orders), self.moved, self.x,
                          dbsp.fold_heads(change, self.orders), a, b))

    def test_the_inverse_order_undoes_the_order(self):
        state = model(self.rng)
        back = dbsp.fold_heads(dbsp.fold_heads(state, self.orders), np.argsort(self.orders, axis=1))
        for key, value in state.items():
            np.testing.assert_array_equal(back[key], value)

    def test_a_tensor_parallel_shard_is_a_part_of_the_folded_model(self):
        state = model(self.rng)
        orders = np.stack([np.concatenate([self.rng.permutation(3), 3 + self.rng.permutation(3)])
                           for _ in range(LAYERS)])
        whole = dbsp.fold_heads(state, orders)

        def shard(full, number):
            part = slice(number * WIDTH // 2, (number + 1) * WIDTH // 2)
            found = {}
            for key, value in full.items():
                if ".self_attn." not in key or "o.bias" in key:
                    found[key] = value
                else:
                    found[key] = value[:, part] if ".o." in key else value[part]
            return found

        for number in range(2):
            folded = dbsp.fold_heads(shard(state, number), orders, shard=number, shards=2)
            for key, value in shard(whole, number).items():
                np.testing.assert_array_equal(folded[key], value, key)
        self.refused("leaves its tensor-parallel shard", shard(state, 0), [[3, 1, 2, 0, 4, 5]] * 2,
                     shards=2)

    def test_scales_move_with_the_rows_and_columns_that_they_scale(self):
        state = model(self.rng)
        unit = np.repeat(self.orders[0], DIM) * DIM + np.tile(np.arange(DIM), HEADS)
        begin = "blocks.0.self_attn."
        scales = {"q.weight_scale": (WIDTH,), "k.weight_scale": (WIDTH, 1), "v.scale_weight": (),
                  "o.weight_scale": (WIDTH, 1), "o.scale_weight": (1,), "q.input_scale": (WIDTH,),
                  "o.input_scale": (WIDTH,), "k.scales": (WIDTH, 3), "o.scales": (WIDTH, 12),
                  "v.weight_scale_inv": (HEADS, 3)}
        for name, shape in scales.items():
            state[begin + name] = self.rng.standard_normal(shape)
        folded = dbsp.fold_heads(state, self.orders)
        for name in ("v.scale_weight", "o.weight_scale", "o.scale_weight", "q.input_scale"):
            np.testing.assert_array_equal(folded[begin + name], state[begin + name])
        for name in ("q.weight_scale", "k.weight_scale", "o.input_scale", "k.scales"):
            np.testing.assert_array_equal(folded[begin + name], state[begin + name][unit])
        np.testing.assert_array_equal(folded[begin + "v.weight_scale_inv"],
                                      state[begin + "v.weight_scale_inv"][self.orders[0]])
        pairs = np.repeat(self.orders[0], 2) * 2 + np.tile(np.arange(2), HEADS)
        np.testing.assert_array_equal(folded[begin + "o.scales"],
                                      state[begin + "o.scales"][:, pairs])

    def test_a_fused_projection_is_three(self):
        state = {}
        for layer in range(LAYERS):
            state[f"blocks.{layer}.attn.qkv.weight"] = self.rng.standard_normal((3 * WIDTH, 5))
            state[f"blocks.{layer}.attn.proj.weight"] = self.rng.standard_normal((5, WIDTH))
        names = dbsp.Names("blocks.{layer}.attn.", (), ("proj",), (), (), ("qkv",))
        folded = dbsp.fold_heads(state, self.orders, names)
        for layer, order in enumerate(self.orders):
            old = state[f"blocks.{layer}.attn.qkv.weight"].reshape(3, HEADS, DIM, 5)
            new = folded[f"blocks.{layer}.attn.qkv.weight"].reshape(3, HEADS, DIM, 5)
            np.testing.assert_array_equal(new, old[:, order])

    def test_what_no_rule_covers_is_refused_with_its_key(self):
        state = model(self.rng)
        key = "blocks.1.self_attn."
        self.refused("blocks.1.self_attn.sink.weight': not a module",
                     {**state, key + "sink.weight": np.ones(HEADS)})
        self.refused("blocks.1.self_attn.q.qweight': no rule",
                     {**state, key + "q.qweight": np.ones(3)})
        self.refused("blocks.1.self_attn.q.weight': shape .* packed",
                     {**state, key + "q.weight": np.ones((WIDTH // 2, WIDTH))})
        self.refused("blocks.1.self_attn.o.scales': shape .* several heads",
                     {**state, key + "o.scales": np.ones((WIDTH, 3))})
        self.refused("blocks.1.self_attn.norm_q.weight': shape",
                     {**state, key + "norm_q.weight": np.ones(5)})
        missing = dict(state)
        del missing[key + "v.weight"]
        self.refused("blocks.1.self_attn.v.weight' is missing", missing)
        self.refused("a second model", {**state, "teacher.blocks.0.self_attn.q.weight": np.ones(3)})
        self.refused("has no key", {"x": np.ones(3)})
        self.refused("2 layers, the order 3", state, np.stack([np.arange(HEADS)] * 3))
        self.refused("permutation", state, np.zeros((2, HEADS), int))
        self.refused("shards that divide", state, shards=4)

    def test_a_prefix_before_the_model_is_accepted(self):
        state = model(self.rng, "diffusion_model.")
        plain = {key[len("diffusion_model."):]: value for key, value in state.items()}
        folded = dbsp.fold_heads(state, self.orders)
        for key, value in dbsp.fold_heads(plain, self.orders).items():
            np.testing.assert_array_equal(folded["diffusion_model." + key], value)

    def plan(self, orders):
        """A plan of plain Ulysses on two ranks with the given head order per (step, layer)."""
        plans = support.Plans()
        self.addCleanup(plans.close)
        workload = plans.workload("fold", "--heads", HEADS, "--layers", LAYERS, "--steps", 2,
                                  "--head-dim", 64, "--tokens", 1024, "--block", "64x64")
        document = support.read(plans.plan(workload, 2, "--families", "ulysses", "--chunks", 1))
        del document["content_hash"]
        strategy, partition = document["strategies"][0], document["partitions"][0]
        document["partitions"] = [
            dict(partition, groups=[dict(group, heads=sorted(order[i * 3:i * 3 + 3]))
                                    for i, group in enumerate(partition["groups"])])
            for order in orders]
        document["strategies"] = [dict(strategy, partition=i) for i in range(len(orders))]
        for i, cell in enumerate(document["cells"]):
            cell[2], cell[4] = i % len(orders), None
        return dbsp.load(support.write(plans.path("edited.json"), document))

    def test_a_plan_gives_the_order_of_its_layers(self):
        orders = [[1, 3, 5, 0, 2, 4], [0, 1, 5, 2, 3, 4]]
        state = model(self.rng)
        by_plan = dbsp.fold_heads(state, self.plan(orders))
        for key, value in dbsp.fold_heads(state, orders).items():
            np.testing.assert_array_equal(by_plan[key], value)

    def test_plans_without_one_order_per_layer_are_refused(self):
        orders = [[0, 1, 2, 3, 4, 5], [1, 3, 5, 0, 2, 4], [0, 1, 5, 2, 3, 4], [1, 3, 5, 0, 2, 4]]
        self.refused("step 1 layer 0: .* static_head_order", model(self.rng), self.plan(orders))

    @unittest.skipIf(torch is None, "this Python has no torch")
    def test_torch_tensors_and_numpy_arrays_are_folded_alike(self):
        state = {**model(self.rng), **lora(self.rng)}
        folded = dbsp.fold_heads(state, self.orders)
        tensors = dbsp.fold_heads({k: torch.from_numpy(v) for k, v in state.items()}, self.orders)
        for key, value in folded.items():
            np.testing.assert_array_equal(tensors[key].numpy(), value)


if __name__ == "__main__":
    support.run_tests()
