#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/gpu-build-report over recorded ptxas words, and its occupancy against figures worked out by hand."""

import importlib.machinery
import importlib.util
import os
import struct
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOADER = importlib.machinery.SourceFileLoader("report", os.path.join(ROOT, "scripts", "gpu-build-report"))
SPEC = importlib.util.spec_from_loader("report", LOADER)
report = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(report)

# Words of nvcc 13.0.
LOG = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z2OkILi128ELb1EEvPf' for 'sm_90a'
ptxas info    : Function properties for _Z2OkILi128ELb1EEvPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 512 bytes smem
ptxas info    : Compile time = 2.989 ms
ptxas info    : Compiling entry function '_Z3Twov' for 'sm_80'
ptxas info    : Used 26 registers, used 0 barriers, 416 bytes cmem[0]
"""
LIST = """kernel                  from  query block  key block     tile  threads  shared bytes
sm90.block128x64.d128    9.0          128         64  128x128      384        196776
sm90.block128x64.d64     9.0          128         64  128x128      384        164080
sm80.block128x64.d128    8.0          128         64  128x64       128         65536
sm90.gather128.d64       9.0          128          1  128x128      384        196884
gpu: 1 devices
"""


class ReportTest(unittest.TestCase):
    def test_reads_ptxas(self):
        self.assertEqual(
            report.kernels_of(LOG), [("_Z2OkILi128ELb1EEvPf", 90, 168, 512), ("_Z3Twov", 80, 26, 0)]
        )

    @staticmethod
    def fat_binary(*entries):
        """A fat binary of (kind, architecture, payload) entries with headers of 64 bytes."""
        body = b"".join(
            struct.pack("<HHIQQII", kind, 0x101, 64, len(payload), 0, 0, arch) + bytes(32) + payload
            for kind, arch, payload in entries
        )
        return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body

    def test_finds_ptx_in_objects(self):
        machine_code, ptx = (2, 90, b"code" * 20), (1, 80, b"compressed" * 5)
        self.assertEqual(report.ptx_of(b""), [])
        self.assertEqual(report.ptx_of(b"ELF" + self.fat_binary(machine_code)), [])
        both = b"ELF" + self.fat_binary(machine_code, ptx) + b"padding"
        self.assertEqual(report.ptx_of(both), [80])
        self.assertEqual(report.ptx_of(both + self.fat_binary((1, 120, b"x"), machine_code)), [80, 120])
        for end in range(len(both)):
            self.assertIn(report.ptx_of(both[:end]), ([], [80]), "a short file has no entry beyond its end")

    def test_ptx_is_listed_beside_the_code_of_its_architecture(self):
        kernels = [(("_Z3Twov", 80, 26, 0), [80]), (("_Z3Twov", 90, 24, 0), [80]), (("_Z5Threev", 80, 30, 0), [])]
        rows = report.rows_of(kernels, ["Two()", "Two()", "Three()"], {})
        self.assertEqual([row[:2] for row in rows], [("Three", "8.0"), ("Two", "8.0 and PTX"), ("Two", "9.0")])

    def test_occupancy(self):
        # 168 registers of 384 threads: 12 warps of 5376; 64512 of 65536 registers.
        self.assertEqual(report.blocks_per_multiprocessor(168, 384, 196776, 90), 1)
        # 128 threads of 128 registers: 16384 registers a block, 4 blocks; shared memory allows 3.
        self.assertEqual(report.blocks_per_multiprocessor(128, 128, 65536, 90), 3)
        self.assertEqual(report.blocks_per_multiprocessor(128, 128, 65536, 80), 2)
        self.assertEqual(report.blocks_per_multiprocessor(16, 256, 0, 90), 8, "threads are the limit")
        self.assertEqual(report.blocks_per_multiprocessor(16, 32, 0, 90), 32, "blocks are the limit")
        self.assertEqual(report.blocks_per_multiprocessor(255, 512, 0, 90), 0, "it cannot run at all")

    def test_joins_kernels_to_variants(self):
        variants = report.variants_of(LIST)
        self.assertEqual(variants["sm90.block128x64.d64"], (384, 164080))
        self.assertEqual(len(variants), 4)
        space = "void dbsp::kernels::gpu::{0}::BlockSparse<dbsp::kernels::gpu::{0}::Block128x64D128>(Arguments)"
        self.assertEqual(report.variant_of(space.format("sm90"), variants), "sm90.block128x64.d128")
        self.assertEqual(report.variant_of(space.format("sm80"), variants), "sm80.block128x64.d128")
        gather = "void dbsp::kernels::gpu::gather::GatherSparse<dbsp::kernels::gpu::gather::Keys128D64>(Arguments)"
        self.assertEqual(report.variant_of(gather, variants), "sm90.gather128.d64")
        self.assertIsNone(report.variant_of("dbsp::kernels::gpu::(anonymous namespace)::Hold(int const*)", variants))

    def test_names_are_short(self):
        self.assertEqual(report.short("dbsp::kernels::gpu::(anonymous namespace)::Hold(int const volatile*)"), "Hold")
        self.assertEqual(report.short("void a::b::Kernel<(int)128, true>(float*)"), "Kernel<(int)128, true>")


if __name__ == "__main__":
    unittest.main()
