#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/lib/test-report over files as ctest --output-junit writes them."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PASSED = '<testcase name="A.Passes" status="run"><system-out>fine\n</system-out></testcase>'
FAILED = '<testcase name="A.Fails" status="fail"><failure message=""/><system-out>no\n</system-out></testcase>'
MISSING = ('<testcase name="A_NOT_BUILT" status="notrun"><skipped message="Unable to find executable"/>'
           "<system-out></system-out></testcase>")
NO_PAGE = ('<testcase name="Page" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>'
           "<system-out>first words\nskipped: this build has no page\n</system-out></testcase>")


def skipped(name, reason, rest=""):
    return (f'<testcase name="{name}" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>'
            f"<system-out>[ RUN      ] {name}\n../tests/a_test.cpp:12: Skipped\n{reason}\n{rest}[  SKIPPED ] {name}"
            f"\n</system-out></testcase>")


def report(*cases, bare=False):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tests.xml")
        with open(path, "w", encoding="utf-8") as file:
            file.write('<?xml version="1.0"?>\n<testsuite>' + "".join(cases) + "</testsuite>\n")
        run = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "lib", "test-report"), path] + ["--bare"] * bare,
                             capture_output=True, text=True, check=False)
    return run.returncode, run.stdout.splitlines()


class TestReport(unittest.TestCase):
    def test_skips_are_grouped_by_reason_the_most_frequent_first(self):
        code, lines = report(PASSED, skipped("B.One", "this build has no NVML"), skipped("B.Two", "this build has no CUDA"),
                             skipped("B.Three", "this build has no CUDA", rest="\n"), NO_PAGE)
        self.assertEqual(code, 0)
        self.assertEqual(lines, ["5 tests: 1 passed, 0 failed, 4 skipped",
                                 "    2 skipped: this build has no CUDA",
                                 "    1 skipped: this build has no NVML",
                                 "    1 skipped: this build has no page"])

    def test_failures_and_programs_that_were_not_built_fail(self):
        for case, output in ((FAILED, ["failed: A.Fails", "  no"]), (MISSING, ["failed: A_NOT_BUILT"])):
            code, lines = report(PASSED, case)
            self.assertEqual(code, 1)
            self.assertEqual(lines, ["2 tests: 1 passed, 1 failed, 0 skipped"] + output)

    def test_a_failed_test_shows_its_last_lines(self):
        output = "".join(f"line {number}\n" for number in range(100))
        _, lines = report(f'<testcase name="A.Fails" status="fail"><system-out>{output}</system-out></testcase>')
        self.assertEqual(lines[1:3], ["failed: A.Fails", "  line 70"])
        self.assertEqual(lines[-1], "  line 99")

    def test_a_bare_machine_explains_vendors_launchers_and_measured_files_only(self):
        explained = [skipped("B.One", reason) for reason in (
            "this build has no NCCL", "this machine has an NVIDIA driver", "measured files are not here (../shared/data)",
            "this machine has no launcher /usr/bin/srun (package slurm-client)")]
        self.assertEqual(report(*explained, bare=True)[0], 0)
        code, lines = report(*explained, NO_PAGE, bare=True)
        self.assertEqual(code, 1)
        self.assertIn("error: a bare machine does not explain this skip of Page: this build has no page", lines)

    def test_a_file_of_another_kind_is_a_usage_error(self):
        run = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "lib", "test-report"), __file__],
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 2)


if __name__ == "__main__":
    unittest.main()
