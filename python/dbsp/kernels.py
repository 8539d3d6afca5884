# SPDX-License-Identifier: Apache-2.0
"""Attention kernels that are Python functions, measured and replayed by dbsp's tools.

    from dbsp.kernels import kernel

    @kernel("mine", version="1", mask="dense")
    def prepare(call):
        mask = ...                      # once per shape and mask: plan(), compilation
        def launch(q, k, v, o, lse):    # for every sample
            o[...], lse[...] = ...
        return launch

    dbsp-profile --db p.db --workload w.json --kernels python:my_kernels.py

The tool starts this interpreter, and the interpreter loads the tool as a shared library: main()
below. Nothing is embedded. Arrays are NumPy views of the tool's memory; `torch.from_numpy` and other
consumers of DLPack take them without a copy.
"""

import contextlib
import ctypes
import os
import runpy
import signal
import sys
import traceback
from collections import namedtuple

import numpy as np

MASKS = {"csr": 1, "padded": 2, "dense": 4, "keys": 8}
ABI = 1
_FLAGS = {"lse": 1, "deterministic": 2, "quantising": 8, "variable_blocks": 32}

# Arrays of `call` by mask form, of other forms None. Heads are outermost in rows.
#   csr, keys  begin int64 [heads * q_blocks + 1], index int32 [begin[-1]]: key blocks, single keys
#   padded     count int32 [heads, q_blocks], index int32 [heads, q_blocks, width]: then -1
#   dense      dense bool [heads, q_blocks, k_blocks]
Call = namedtuple("Call", "heads head_dim q_block k_block q_blocks k_blocks scale q_tokens k_tokens "
                          "begin index count dense")
Kernel = namedtuple("Kernel", "name version mask flags head_dim q_block k_block error prepare")

_kernels = []


def kernel(name, version="1", mask="csr", *, lse=True, deterministic=False, quantising=False,
           variable_blocks=False, head_dim=0, q_block=0, k_block=0, max_relative_error=0.0):
    """Decorator: adds a kernel. The function prepares a call and returns its launch function.

    prepare(call)           Call above. Copy what is needed later: its arrays end with prepare
    launch(q, k, v, o, lse) float32 [heads, blocks * block, head_dim] and lse [heads, rows] natural
                            log, or None without lse. Writes o and lse. A row without a key gets
                            o = 0 and lse = -inf
    head_dim, q_block, k_block  the only size that it takes; 0 takes any
    max_relative_error      declared; needed where it quantises
    errors  ValueError for an unknown mask form
    """
    if mask not in MASKS:
        raise ValueError(f"kernel {name}: mask '{mask}': expected one of {', '.join(MASKS)}")
    chosen = {"lse": lse, "deterministic": deterministic, "quantising": quantising,
              "variable_blocks": variable_blocks}
    flags = sum(bit for flag, bit in _FLAGS.items() if chosen[flag])

    def add(prepare):
        _kernels.append(Kernel(name, version, mask, flags, head_dim, q_block, k_block,
                               max_relative_error, prepare))
        return prepare
    return add


# The structs of kernels/kernel_plugin.h.

class _Info(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p),
                ("version", ctypes.c_char_p), ("memory", ctypes.c_uint32),
                ("mask_form", ctypes.c_uint32), ("flags", ctypes.c_uint32),
                ("min_arch", ctypes.c_int32), ("head_dim", ctypes.c_int32),
                ("q_block", ctypes.c_int32), ("k_block", ctypes.c_int32),
                ("max_relative_error", ctypes.c_double)]


class _Call(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("heads", ctypes.c_int32), ("head_dim", ctypes.c_int32),
                ("q_block", ctypes.c_int32), ("k_block", ctypes.c_int32),
                ("q_blocks", ctypes.c_int32), ("k_blocks", ctypes.c_int32),
                ("scale", ctypes.c_float), ("sm_count", ctypes.c_int32),
                ("q_tokens", ctypes.c_void_p), ("k_tokens", ctypes.c_void_p),
                ("mask_form", ctypes.c_uint32), ("width", ctypes.c_int32),
                ("begin", ctypes.c_void_p), ("index", ctypes.c_void_p),
                ("count", ctypes.c_void_p), ("dense", ctypes.c_void_p)]


class _Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("head_stride", ctypes.c_int64),
                ("token_stride", ctypes.c_int64)]


class _Tensors(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("q", _Tensor), ("k", _Tensor), ("v", _Tensor),
                ("o", _Tensor), ("lse", ctypes.c_void_p), ("stream", ctypes.c_void_p)]


class _Error(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("text", ctypes.c_void_p)]


_InfoFunction = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32, ctypes.POINTER(_Info),
                                 ctypes.POINTER(_Error))
_PrepareFunction = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32, ctypes.POINTER(_Call),
                                    ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(_Error))
_LaunchFunction = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Tensors),
                                   ctypes.POINTER(_Error))
_ReleaseFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _TableStruct(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("abi", ctypes.c_uint32),
                ("kernel_count", ctypes.c_uint32), ("info", _InfoFunction),
                ("prepare", _PrepareFunction), ("launch", _LaunchFunction),
                ("release", _ReleaseFunction)]


def _view(address, dtype, shape, strides=None):
    """A NumPy view of memory that the tool owns."""
    dtype = np.dtype(dtype)
    if not address or 0 in shape:
        return np.zeros(shape, dtype)
    strides = strides or np.empty(shape, np.bool_).strides
    strides = [stride * dtype.itemsize for stride in strides]
    span = sum((size - 1) * stride for size, stride in zip(shape, strides)) + dtype.itemsize
    memory = (ctypes.c_char * span).from_address(address)
    return np.ndarray(shape, dtype, buffer=memory, strides=strides)


def _call_of(raw):
    rows = raw.heads * raw.q_blocks
    begin = index = count = dense = None
    if raw.mask_form in (MASKS["csr"], MASKS["keys"]):
        begin = _view(raw.begin, np.int64, (rows + 1,))
        index = _view(raw.index, np.int32, (int(begin[-1]),))
    elif raw.mask_form == MASKS["padded"]:
        count = _view(raw.count, np.int32, (raw.heads, raw.q_blocks))
        index = _view(raw.index, np.int32, (raw.heads, raw.q_blocks, raw.width))
    else:
        dense = _view(raw.dense, np.bool_, (raw.heads, raw.q_blocks, raw.k_blocks))
    return Call(raw.heads, raw.head_dim, raw.q_block, raw.k_block, raw.q_blocks, raw.k_blocks,
                raw.scale, _view(raw.q_tokens, np.int32, (raw.q_blocks,)),
                _view(raw.k_tokens, np.int32, (raw.k_blocks,)), begin, index, count, dense)


class Table:
    """The kernels as the C table that a tool reads. It must live as long as the tool runs."""

    def __init__(self, kernels):
        self.kernels = list(kernels)
        self._states, self._next = {}, 1
        self._texts = [(one.name.encode(), one.version.encode()) for one in self.kernels]
        self.struct = _TableStruct(
            ctypes.sizeof(_TableStruct), ABI, len(self.kernels),
            _InfoFunction(self._guarded(self._info)), _PrepareFunction(self._guarded(self._prepare)),
            _LaunchFunction(self._guarded(self._launch)), _ReleaseFunction(self._release))

    @staticmethod
    def _guarded(function):
        """Exceptions become the error's text: no exception may enter the tool."""
        def call(*arguments):
            try:
                function(*arguments[:-1])
                return 0
            except BaseException as error:  # noqa: BLE001  SystemExit of a kernel, too
                frame = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
                text = f"{type(error).__name__}: {error} ({where})".encode(errors="replace")
                raw = arguments[-1].contents
                text = text[:raw.size - 1] + b"\0"
                ctypes.memmove(raw.text, text, len(text))
                return 1
        return call

    def _info(self, number, info):
        one = self.kernels[number]
        info = info.contents
        if info.size < ctypes.sizeof(_Info):
            raise ValueError("the tool is older than this Python package")
        info.size = ctypes.sizeof(_Info)
        info.name, info.version = self._texts[number]
        info.mask_form, info.flags = MASKS[one.mask], one.flags
        info.head_dim, info.q_block, info.k_block = one.head_dim, one.q_block, one.k_block
        info.max_relative_error = one.error

    def _prepare(self, number, raw, state):
        call = _call_of(raw.contents)
        launch = self.kernels[number].prepare(call)
        if not callable(launch):
            raise TypeError(f"kernel {self.kernels[number].name}: prepare returned "
                            f"{type(launch).__name__}, expected the launch function")
        number, self._next = self._next, self._next + 1
        self._states[number] = (launch, call)
        state[0] = number

    def _launch(self, state, tensors):
        launch, call = self._states[state]
        raw = tensors.contents

        def view(tensor, blocks, block):
            shape = (call.heads, blocks * block, call.head_dim)
            return _view(tensor.data, np.float32, shape,
                         (tensor.head_stride, tensor.token_stride, 1))
        q, o = (view(tensor, call.q_blocks, call.q_block) for tensor in (raw.q, raw.o))
        k, v = (view(tensor, call.k_blocks, call.k_block) for tensor in (raw.k, raw.v))
        lse = None
        if raw.lse:
            lse = _view(raw.lse, np.float32, (call.heads, call.q_blocks * call.q_block))
        launch(q, k, v, o, lse)

    def _release(self, state):
        self._states.pop(state, None)


def load(path):
    """The kernels of a Python file, which runs with its folder first in sys.path.

    errors  those of the file; ValueError where it has no kernel
    """
    del _kernels[:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    # The file imports this module by its name, whatever name it runs under.
    runpy.run_path(path, run_name="dbsp_user_kernels")
    if not _kernels:
        raise ValueError("no kernel: decorate a function with @dbsp.kernels.kernel")
    return list(_kernels)


def _strings(texts):
    array = (ctypes.c_char_p * (len(texts) + 1))()
    array[:-1] = [os.fsencode(text) for text in texts]
    return array


def main():
    """Runs a tool in this interpreter. sys.argv: -c, LIBRARY, FILE, TOOL, ARGUMENTS..."""
    library, path, *arguments = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the tool handles it
    tool = os.path.basename(arguments[0])
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is the tool's
            table = Table(load(path))
    except SyntaxError as error:
        sys.exit(_report(tool, path, f"line {error.lineno}: {error.msg}"))
    except Exception as error:  # noqa: BLE001
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if frame.filename == path]
        line = f"line {lines[-1]}: " if lines else ""
        sys.exit(_report(tool, path, f"{line}{type(error).__name__}: {error}"))
    command = [sys.executable, "-c", _START, library, path]  # a worker for one trial after the other
    hosted = ctypes.CDLL(library).dbsp_hosted_main
    code = hosted(len(arguments), _strings(arguments), ctypes.byref(table.struct),
                  os.fsencode(path), _strings(command))
    sys.stdout.flush()
    sys.exit(code)


_START = "import dbsp.kernels; dbsp.kernels.main()"


def _report(tool, path, text):
    text = " ".join(str(text).split())
    print(f"{tool}: error: --kernels python:{path}: {text}; nothing was measured", file=sys.stderr)
    return 2
