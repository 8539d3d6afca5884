# SPDX-License-Identifier: Apache-2.0
# Shared by scripts/*: packages, progress lines, paths. Sourced, never run.
set -euo pipefail
DBSP_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DBSP_JOBS=${DBSP_JOBS:-$(nproc)}
DBSP_STARTED=$SECONDS

# Debian 12's names. Build and run; node and npm bundle the report page.
DBSP_BUILD_PACKAGES=(
  g++ cmake make ninja-build ccache git pkg-config ca-certificates
  libfmt-dev nlohmann-json3-dev libvalijson-dev libcli11-dev libsqlite3-dev libzip-dev libzstd-dev
  libxxhash-dev libhwy-dev libeigen3-dev zlib1g-dev nettle-dev sqlite3
)
DBSP_TEST_PACKAGES=(
  libgtest-dev libgmock-dev libboost-context-dev libbenchmark-dev libopenblas-dev
  python3-jsonschema python3-numpy python3-torch zstd chromium
)

say() { printf '[%4ds] %s\n' "$((SECONDS - DBSP_STARTED))" "$*" >&2; }
die() { printf '%s: error: %s\n' "$(basename "$0")" "$1" >&2; exit "${2:-2}"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "root or sudo is needed to install: ${DBSP_MISSING[*]}. Install them by hand and run this again." 3
  fi
}

# install_packages NAME...: installs with apt what dpkg does not know as installed.
install_packages() {
  DBSP_MISSING=()
  local name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q '^install ok installed$' ||
      DBSP_MISSING+=("$name")
  done
  [ ${#DBSP_MISSING[@]} = 0 ] && return 0
  command -v apt-get >/dev/null ||
    die "this system has no apt-get. Install the equivalents of: ${DBSP_MISSING[*]}" 3
  say "installing ${#DBSP_MISSING[@]} packages: ${DBSP_MISSING[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 install "${DBSP_MISSING[@]}" >&2
}

# install_programs PROGRAM PACKAGE...: a program that is already there, whatever its origin, is used; otherwise
# Debian's package.
install_programs() {
  local names=()
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null || names+=("$2")
    shift 2
  done
  [ ${#names[@]} = 0 ] || install_packages "${names[@]}"
}

# Compiled objects are shared between the build trees of this checkout and survive `rm -rf build`.
export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache}
# NOHASHDIR: debug information names the build folder, and each preset has its own.
export CCACHE_BASEDIR=$DBSP_ROOT
export CCACHE_NOHASHDIR=true
# ccache asks for these where headers are precompiled.
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
