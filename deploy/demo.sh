#!/usr/bin/env bash
# Shows the whole thing on one machine: a private PostgreSQL, RabbitMQ and SQL
# Server stand-in, TPC-H on both sides with planted differences, two workers,
# one run; then checks the report against what was planted. Stops and removes
# everything that it started.
#
#   deploy/demo.sh [--scale 0.1] [--report FILE]
#
# Exit code 0: the report says exactly what was planted.
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
    # Idle workers end at once; one that holds a table hands it back first.
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

step "Building"
need_rust
need_packages "${service_packages[@]}"
cargo build --release --workspace --bins </dev/null
bin=${CARGO_TARGET_DIR:-$root/target}/release

step "Starting PostgreSQL, RabbitMQ and the SQL Server stand-in, all private"
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

cat >"$work/reconcile.toml" <<EOF
[broker]
url = "$RECONCILE_TEST_AMQP"

[endpoints.source]
url = "mssql://sa@127.0.0.1:$STANDIN_PORT/erp"
password_file = "$STANDIN_PASSWORD_FILE"
ca_file = "$STANDIN_CA_FILE"

[endpoints.target]
url = "$POSTGRES_URL_WAREHOUSE"
EOF

step "Starting two workers"
for number in 1 2; do
    "$bin/reconcile-worker" --config "$work/reconcile.toml" --name "worker-$number" --concurrency 2 --metrics-addr off \
        </dev/null >"$work/worker-$number.log" 2>&1 &
    workers+=("$!")
done

step "Comparing every row of every table"
run() {
    "$bin/reconcile" run --config "$work/reconcile.toml" --broker "$RECONCILE_TEST_AMQP" \
        --source source --target target --tables "$("$bin/tpch" tables)" \
        --row-level --max-differences 1000000 "$@" </dev/null
}
# 1 means that there are differences, as there should be.
status=0
run --format json --output "$work/report.json" || status=$?
[ "$status" -eq 1 ] || { echo "error: reconcile run ended with $status in place of 1" >&2 && exit 1; }
[ -z "$kept_report" ] || cp -- "$work/report.json" "$kept_report"

step "The same run, for people"
run --format console || [ "$?" -eq 1 ]

step "Checking the report against what was planted"
"$bin/tpch" check --plan "$work/plan.json" --report "$work/report.json"
