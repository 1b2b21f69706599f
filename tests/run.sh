#!/usr/bin/env bash
# Runs every test of the workspace against real services, which it starts on
# free ports and stops afterwards. Arguments go to `cargo test`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=../deploy/prerequisites.sh
. deploy/prerequisites.sh

need_rust
need_packages "${service_packages[@]}" '/usr/bin/promtool' prometheus '/usr/bin/tsql' freetds-bin '/usr/lib/python3/dist-packages/pytds' python3-tds '/usr/lib/python3/dist-packages/OpenSSL' python3-openssl '/usr/bin/systemd-analyze' systemd '/usr/bin/openssl' openssl '/usr/bin/chromium' chromium '/usr/bin/xmllint' libxml2-utils

# The accessibility check of the HTML report.
axe=${CARGO_TARGET_DIR:-target}/axe
if [ ! -e "$axe/node_modules/axe-core/axe.min.js" ]; then
    if ! command -v npm >/dev/null; then
        echo "skipped, npm is missing: the accessibility of the HTML report" >&2
    elif ! npm install --silent --no-save --no-audit --no-fund --ignore-scripts \
        --prefix "$axe" axe-core@4.14.1 </dev/null; then
        echo "skipped, npm cannot install axe-core: the accessibility of the HTML report" >&2
    fi
fi

# Some tests start these executables; cargo builds only a package's own for its tests.
cargo build --workspace --bins

# The services end with their standard input, so also when this script is killed.
coproc SERVICES { exec "${CARGO_TARGET_DIR:-target}/debug/services" --exit-with-stdin; }
services=$SERVICES_PID
statements=
# shellcheck disable=SC2317  # called by the trap
stop() {
    kill "$services" 2>/dev/null || true
    wait "$services" 2>/dev/null || true
    [ -z "$statements" ] || rm -rf "$statements"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

ready=no
while [ "$ready" = no ] && IFS='=' read -r name value; do
    case $name in
        SERVICES_READY) ready=yes ;;
        RECONCILE_TEST_*) export "$name=$value" ;;
    esac
done <&"${SERVICES[0]}"
if [ "$ready" = no ]; then
    echo "error: the services did not start" >&2
    exit 1
fi

# The stand-in and the tests record the T-SQL that the product sends and writes.
statements=$(mktemp -d)
export STANDIN_STATEMENTS=$statements

status=0
cargo test --workspace --no-fail-fast "$@" </dev/null || status=$?

# The optional feature is not part of the workspace's default build.
cargo test -p shared --lib --features jaeger-thrift jaeger </dev/null || status=$?

# Without arguments, all tests have run, and there is something to parse.
if [ "$#" -eq 0 ]; then
    tests/tsql/parse.sh "$statements" deploy/sql/sqlserver*.sql deploy/sql/azure-sql-database.sql || status=$?
fi
exit "$status"
