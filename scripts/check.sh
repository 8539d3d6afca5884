#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Before a commit: format, then scripts/test dev. `--tidy` also runs clang-tidy over every source.
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
cd "$DBSP_ROOT"
install_packages clang-format
say "format"
git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format --dry-run --Werror
if [ "${1:-}" = --tidy ]; then
  shift
  install_packages clang-tidy "${DBSP_BUILD_PACKAGES[@]}" "${DBSP_TEST_PACKAGES[@]}"
  say "clang-tidy"
  cmake --preset tidy >&2
  cmake --build --preset tidy -j "$DBSP_JOBS" >&2
fi
exec scripts/test dev "$@"
