# SPDX-License-Identifier: Apache-2.0
# The tools are linked and compiled as cmake/DbspOptions.cmake says:
#   hardening_test.py READELF TOOL...
import re
import subprocess
import sys
import unittest

READELF, *TOOLS = sys.argv[1:]


def readelf(option, tool):
    return subprocess.run([READELF, "-W", option, tool], check=True, capture_output=True, text=True).stdout


class HardeningTest(unittest.TestCase):
    def test_every_tool(self):
        self.assertTrue(TOOLS)
        for tool in TOOLS:
            with self.subTest(tool=tool):
                dynamic, segments, symbols = (readelf(option, tool) for option in ("-d", "-l", "--dyn-syms"))
                self.assertIn("Elf file type is DYN", segments)  # position independent
                self.assertIn("GNU_RELRO", segments)
                self.assertRegex(dynamic, r"BIND_NOW|\bNOW\b")
                self.assertNotRegex(segments, r"GNU_STACK .* RWE ")
                self.assertIn("__stack_chk_fail", symbols)
                self.assertTrue(re.search(r"__\w+_chk\b", symbols.replace("__stack_chk_fail", "")), "no fortified call")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
