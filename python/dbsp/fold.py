# SPDX-License-Identifier: Apache-2.0
"""Puts an order of heads into a model's weights, so that plain Ulysses deals them in that order.

Attention treats its heads alike, and the output projection adds them up. Rows of the projections to
Q, K and V and columns of the output projection can therefore be permuted together: the model
computes the same sums in another order. No runtime needs to know.
"""

import re
from collections import namedtuple

import numpy as np

from ._input import Error
from .plan import Plan

Names = namedtuple("Names", "prefix rows columns norms unchanged fused", defaults=((), ()))
Names.__doc__ = """Where a model keeps its self-attention.

prefix     begin of the keys of one layer, with {layer}
rows       modules whose outputs are heads; the first three are Q, K and V
columns    modules whose inputs are heads; the first is the output projection
norms      modules with a weight per element of all heads, or per element of one
unchanged  modules that no head owns
fused      modules whose outputs are all heads of Q, then of K, then of V; `rows` may then be empty
"""

WAN = Names("blocks.{layer}.self_attn.", ("q", "k", "v"), ("o",), ("norm_q", "norm_k"))
DIFFUSERS = Names("blocks.{layer}.attn1.",
                  ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"),
                  ("to_out.0", "to_add_out"),
                  ("norm_q", "norm_k", "norm_added_q", "norm_added_k"), ("to_out.1",))

# Parameters of a module, by the axis that its output and its input lie on; None is no axis.
_AXES = {
    "weight": (0, 1), "bias": (0, None), "weight_scale": (0, 1), "scale_weight": (0, 1),
    "weight_scale_inv": (0, 1), "scales": (0, 1), "input_scale": (None, 0),
    "scale_input": (None, 0), "pre_quant_scale": (None, 0), "smooth_scale": (None, 0),
    "lora_A.weight": (None, 1), "lora_B.weight": (0, None),
    "lora_down.weight": (None, 1), "lora_up.weight": (0, None), "lora_B.bias": (0, None),
    "diff": (0, 1), "diff_b": (0, None), "alpha": (None, None), "lora_magnitude_vector": (0, None),
    "dora_scale": (0, 1),
}
_ADAPTER = re.compile(r"^(lora_[AB])\.(?!weight$|bias$)[^.]+(\.(?:weight|bias))$|"
                      r"^(lora_magnitude_vector)(?:\.[^.]+)*$")


def _without_adapter(parameter):
    """PEFT's names without the adapter: lora_A.default.weight is lora_A.weight."""
    match = _ADAPTER.match(parameter)
    return "".join(filter(None, match.groups())) if match else parameter


def _permuted(tensor, axis, order):
    """`tensor` with its axis, which holds all heads of `order` after each other, in that order."""
    shape = tuple(tensor.shape)
    heads = len(order)
    parts = shape[:axis] + (heads, shape[axis] // heads) + shape[axis + 1:]
    kind = str(tensor.dtype)
    eight = "float8" in kind and hasattr(tensor, "untyped_storage")
    if eight:  # torch has no index kernel for these types
        import torch
        original, tensor = tensor.dtype, tensor.view(torch.uint8)
    moved = tensor.reshape(parts)[(slice(None),) * axis + (order.tolist(),)].reshape(shape)
    return moved.view(original) if eight else moved


class _Folder:
    def __init__(self, orders, names, head_dim, shard, shards):
        self.orders = orders
        self.names = names
        self.head_dim = head_dim
        heads = orders.shape[1]
        part = heads // shards
        self.local = orders[:, shard * part:(shard + 1) * part] - shard * part
        for layer, order in enumerate(self.local):
            if not np.array_equal(np.sort(order), np.arange(part)):
                moved = int(order[(order < 0) | (order >= part)][0]) + shard * part
                raise Error(f"order of layer {layer}: head {moved} leaves its tensor-parallel "
                            f"shard; make the orders with tensor_parallel={shards}")

    def fold(self, key, tensor, layer, module, parameter):
        """The tensor in the new order."""
        parameter = _without_adapter(parameter)
        if module in self.names.unchanged:
            return tensor
        if module in self.names.norms and parameter in ("weight", "bias"):
            return self._norm(key, tensor, layer)
        if parameter not in _AXES or module in self.names.norms:
            raise Error(f"key '{key}': no rule for the parameter '{parameter}' of '{module}'; "
                        f"known are {', '.join(_AXES)}; name modules without heads in "
                        "Names.unchanged")
        axis = _AXES[parameter][1 if module in self.names.columns else 0]
        if axis is None:
            return tensor
        shape = tuple(tensor.shape)
        scale = "scale" in parameter
        if scale and (len(shape) <= axis or shape[axis] == 1):  # one scale for all heads
            return tensor
        order = self.local[layer]
        if module in self.names.fused:
            order = np.concatenate([order + i * len(order) for i in range(3)])
        return self._axis(key, tensor, axis, order, scale)

    def _norm(self, key, tensor, layer):
        size = tensor.shape[0] if len(tensor.shape) == 1 else 0
        if size == self.head_dim:  # the same weights for every head
            return tensor
        for order in (self.local[layer], self.orders[layer]):
            if size == len(order) * self.head_dim:
                return self._axis(key, tensor, 0, order, False)
        raise Error(f"key '{key}': shape {tuple(tensor.shape)}, expected [{self.head_dim}] or "
                    f"[{self.local.shape[1]} x {self.head_dim}]")

    def _axis(self, key, tensor, axis, order, scale):
        shape = tuple(tensor.shape)
        size = shape[axis] if axis < len(shape) else 0
        expected = len(order) * self.head_dim
        whole = size > 0 and size % len(order) == 0
        if size != expected and not (scale and whole):
            hint = ("one scale spans several heads" if scale else
                    "packed weights must be unpacked first")
            raise Error(f"key '{key}': shape {shape}, expected {expected} = {len(order)} heads x "
                        f"{self.head_dim} on axis {axis}; {hint}")
        return _permuted(tensor, axis, order)


def _orders_of(source, layers):
    """shape  [layers, heads]; of a plan, the order that all steps of a layer have"""
    if not isinstance(source, Plan):
        orders = np.asarray(source)
        if orders.ndim == 1:
            orders = np.broadcast_to(orders, (layers, len(orders)))
        if orders.ndim != 2 or not np.array_equal(
                np.sort(orders, axis=1), np.broadcast_to(np.arange(orders.shape[1]), orders.shape)):
            raise Error(f"orders of shape {orders.shape}, expected [layers, heads], each layer a "
                        "permutation of its heads")
        return orders.astype(np.int64)
    found = {}
    for step, layer in source.cells:
        cell = source.cell(step, layer)
        order, splits = cell.head_order(), cell.head_splits()
        if len(set(splits.tolist())) != 1:
            raise Error(f"{cell.name}: groups of {splits.tolist()} heads, but plain Ulysses deals "
                        "equal groups; use static_head_order")
        if not np.array_equal(found.setdefault(layer, order), order):
            raise Error(f"{cell.name}: the order of heads differs from that of an earlier step, "
                        "and weights have one order for all steps; use static_head_order")
    if sorted(found) != list(range(len(found))):
        raise Error(f"{source.origin}: key 'cells': layers {sorted(found)}, expected every layer "
                    "from 0")
    return np.stack([found[layer] for layer in range(len(found))])


def _layer_pattern(names):
    modules = sorted({*names.rows, *names.columns, *names.norms, *names.unchanged, *names.fused},
                     key=len, reverse=True)
    prefix = re.escape(names.prefix).replace(r"\{layer\}", r"(?P<layer>\d+)")
    return (re.compile(r"^(?P<model>.*\.)?" + prefix + r"(?P<rest>.*)$"),
            re.compile(r"^(?P<module>" + "|".join(map(re.escape, modules))
                       + r")\.(?P<parameter>.+)$"))


def fold_heads(state_dict, plan_or_order, names=WAN, head_dim=None, shard=0, shards=1):
    """A copy of the state dict whose self-attention has its heads in the given order.

    Other tensors are shared with the argument. Works on numpy arrays and torch tensors, also on
    weights of LoRA alone, and on one tensor-parallel shard.

    plan_or_order  [layers, heads] of static_head_order, one order [heads], or a plan whose steps
                   have one order per layer
    names          where the model keeps its self-attention: WAN, DIFFUSERS or another Names
    head_dim       elements of a head; by default the rows of Q divided by the heads
    shard, shards  which tensor-parallel part of the heads the dict holds
    errors         Error naming the key, where nothing has been changed
    """
    prefix, inside = _layer_pattern(names)
    found = {}
    models = {}
    for key in state_dict:
        match = prefix.match(key)
        if not match:
            continue
        models.setdefault(match["model"], key)
        if len(models) > 1:
            raise Error(f"key '{key}': a second model beside that of '{models.popitem()[1]}'; fold "
                        "one model at a time")
        parts = inside.match(match["rest"])
        if not parts:
            raise Error(f"key '{key}': not a module of Names; name modules without heads in "
                        "Names.unchanged")
        found[key] = (int(match["layer"]), parts["module"], parts["parameter"])
    if not found:
        raise Error(f"the state dict has no key '{names.prefix}...'; give the Names of this model")
    layers = 1 + max(layer for layer, _, _ in found.values())
    orders = _orders_of(plan_or_order, layers)
    whole = _require_modules(found, names, layers)
    if len(orders) < layers or (whole and len(orders) > layers):
        raise Error(f"key '{names.prefix.format(layer=layers - 1)}...': the state dict has "
                    f"{layers} layers, the order {len(orders)}")
    if shards < 1 or orders.shape[1] % shards or not 0 <= shard < shards:
        raise Error(f"shard {shard} of {shards}: expected a shard from 0 to shards - 1, and shards "
                    f"that divide {orders.shape[1]} heads")
    folder = _Folder(orders, names, head_dim or _head_dim(state_dict, found, names,
                                                          orders.shape[1] // shards), shard, shards)
    return {key: folder.fold(key, tensor, *found[key]) if key in found else tensor
            for key, tensor in state_dict.items()}


def _require_modules(found, names, layers):
    """A dict with whole weights must have Q, K, V and O of every layer: half an order is wrong.

    returns  whether it has whole weights, not those of LoRA alone
    """
    have = {(layer, module) for layer, module, parameter in found.values() if parameter == "weight"}
    needed = (*(names.rows[:3] or names.fused[:1]), names.columns[0])
    if not any(module in needed for _, module in have):
        return False
    for layer in range(layers):
        for module in needed:
            if (layer, module) not in have:
                key = names.prefix.format(layer=layer) + module + ".weight"
                raise Error(f"key '{key}' is missing; give the whole state dict, because an order "
                            "must reach Q, K, V and O together")
    return True


def _head_dim(state_dict, found, names, heads):
    for key, (_, module, parameter) in found.items():
        known = _without_adapter(parameter)
        if module in (*names.rows, *names.fused) and known in ("weight", "lora_B.weight",
                                                               "lora_up.weight"):
            parts = heads * (3 if module in names.fused else 1)
            rows = state_dict[key].shape[0]
            if rows % parts:
                raise Error(f"key '{key}': {rows} rows, expected a multiple of {parts} heads")
            return rows // parts
    raise Error("head_dim: no weight of Q, K or V gives it; name it")
