#!/usr/bin/env bash
# Measures what comparing costs, on services of its own, and prints each number
# beside its limit.
#
#   tests/bench.sh [pg-pg|mssql-pg|differing|overhead|empty|speedup|telemetry|all]
#                  [--scale S] [--rows N] [--runs N]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../deploy/prerequisites.sh
. deploy/prerequisites.sh
need_rust
need_packages "${service_packages[@]}"
cargo build --release --workspace --bins </dev/null
exec "${CARGO_TARGET_DIR:-target}/release/bench" "$@"
