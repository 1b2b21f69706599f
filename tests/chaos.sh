#!/usr/bin/env bash
# Runs tables under injected faults, on services of its own, and compares the
# report with that of an undisturbed run. The last line is the verdict:
# lost=0 duplicated=0 differing=0
#
#   tests/chaos.sh [--tables N] [--faults M] [--seed S]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../deploy/prerequisites.sh
. deploy/prerequisites.sh
need_rust
need_packages "${service_packages[@]}"
cargo build --workspace --bins </dev/null
exec "${CARGO_TARGET_DIR:-target}/debug/chaos" "$@"
