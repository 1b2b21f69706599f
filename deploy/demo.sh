#!/usr/bin/env bash
# Shows a whole comparison on one machine: a private PostgreSQL, RabbitMQ and
# SQL Server stand-in, TPC-H on both sides with planted differences, two workers
# and one run; then checks the report against what was planted. Stops and
# removes everything that it started.
#
#   deploy/demo.sh [--scale 0.1] [--report FILE]
#
# --scale   the scale factor of TPC-H: 1 is 6 million line items
# --report  keeps the JSON report in this file
#
# Exit code 0: the report names exactly the planted differences.
set -euo pipefail
umask 077

usage() {
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
}

scale=0.1
kept_report=
while [ "$#" -gt 0 ]; do
    case $1 in
        --scale) scale=${2:?--scale needs a number} && shift 2 ;;
        --report) kept_report=$(realpath -m -- "${2:?--report needs a file}") && shift 2 ;;
        -h | --help) usage && exit 0 ;;
        *) echo "error: unknown argument $1" >&2 && usage >&2 && exit 2 ;;
    esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=prerequisites.sh
. deploy/prerequisites.sh
step() { printf '\n== %s\n' "$*"; }

work=
services=
workers=()
# shellcheck disable=SC2317  # called by the trap
stop() {
    local status=$?
    trap '' INT TERM HUP
    for process in "${workers[@]}"; do kill "$process" 2>/dev/null || true; done
    # Idle workers end at once; one that compares a table hands it back first.
    for ((turn = 0; turn < 100; turn++)); do
        kill -0 "${workers[@]}" 2>/dev/null || break
        sleep 0.1
    done
    for process in "${workers[@]}"; do kill -KILL "$process" 2>/dev/null || true; done
    if [ -n "$services" ]; then
        kill "$services" 2>/dev/null || true
        wait "$services" 2>/dev/null || true
    fi
    if [ "$status" -ne 0 ] && [ -n "$work" ]; then
        for log in "$work"/worker-*.log; do
            [ -s "$log" ] && printf '\n-- the end of %s\n' "${log##*/}" && tail -n 15 "$log"
        done >&2
    fi
    [ -z "$work" ] || rm -rf -- "$work"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Builds the executables of the demo. Cargo's own output has a line for each of
# 300 crates; on a terminal this shows one line that counts them.
build() {
    local packages=(-p coordinator -p worker -p standin -p harness)
    local count=0
    cargo build --locked --quiet --profile demo "${packages[@]}" --bins \
        --message-format json-render-diagnostics </dev/null |
        while IFS= read -r message; do
            [ -t 2 ] || continue
            case $message in
                '{"reason":"compiler-artifact"'*)
                    count=$((count + 1))
                    printf '\r%d crates in %d s' "$count" "$SECONDS" >&2
                    ;;
            esac
        done
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

cat <<END
The demo compares nine TPC-H tables in a SQL Server stand-in with copies in
PostgreSQL. It builds reconcile (some minutes, the first time), starts private
servers, loads both sides, plants differences in the copies, and lets two workers
compare every row. So the run is to end with DIFFERENT: tables differ. The last step
checks that its report names each planted difference and no other row.
END

step "Building the executables"
need_rust
need_packages "${service_packages[@]}"
SECONDS=0
build
echo "built in $SECONDS s"
bin=${CARGO_TARGET_DIR:-$root/target}/demo

step "Starting PostgreSQL, RabbitMQ and the SQL Server stand-in on free ports"
work=$(mktemp -d)
# They end with their standard input, so also when this script is killed.
coproc SERVICES { exec "$bin/services" --standin erp --databases warehouse --exit-with-stdin; }
services=$SERVICES_PID
while IFS= read -r line; do
    printf '%s\n' "$line"
    [ "$line" != SERVICES_READY=1 ] || break
done <&"${SERVICES[0]}" >"$work/services.env"
SERVICES_READY=0
# shellcheck disable=SC1091  # made just now
. "$work/services.env"
if [ "$SERVICES_READY" != 1 ]; then
    echo "error: the services did not start" >&2
    exit 1
fi

step "Loading TPC-H at scale $scale into both sides and planting differences in the target"
"$bin/tpch" load --scale "$scale" --source-tds "$STANDIN_URL" --source-backing "$POSTGRES_URL_ERP" \
    --target "$POSTGRES_URL_WAREHOUSE" --plan "$work/plan.json"

cat >"$work/reconcile.toml" <<END
[broker]
url = "$RECONCILE_TEST_AMQP"

[endpoints.source]
url = "mssql://sa@127.0.0.1:$STANDIN_PORT/erp"
password_file = "$STANDIN_PASSWORD_FILE"
ca_file = "$STANDIN_CA_FILE"

[endpoints.target]
url = "$POSTGRES_URL_WAREHOUSE"
END

step "Starting two workers"
for number in 1 2; do
    "$bin/reconcile-worker" --config "$work/reconcile.toml" --name "worker-$number" --concurrency 2 --metrics-addr off \
        </dev/null >"$work/worker-$number.log" 2>&1 &
    workers+=("$!")
done

step "Comparing every row of every table; expected is DIFFERENT"
# The broker's driver logs its own end as an error.
export RUST_LOG=warn,worker::table=off,lapin=off
reconcile() {
    "$bin/reconcile" "$@" --config "$work/reconcile.toml" --state-dir "$work/state" </dev/null
}
# Exit code 1 means that tables differ, as they should.
expect_differences() {
    local status=0
    "$@" || status=$?
    [ "$status" -eq 1 ] || { echo "error: \`$*\` ended with exit code $status; expected is 1" >&2 && exit 1; }
}
expect_differences reconcile run --broker "$RECONCILE_TEST_AMQP" --source source --target target \
    --tables "$("$bin/tpch" tables)" --row-level --max-differences 1000000

step "Checking the report against what was planted"
expect_differences reconcile report latest --format json >"$work/report.json"
[ -z "$kept_report" ] || cp -- "$work/report.json" "$kept_report"
"$bin/tpch" check --plan "$work/plan.json" --report "$work/report.json"
