#!/usr/bin/env bash
# Makes the passwords of docker-compose.yml, where there are none yet.
set -euo pipefail

deploy=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
directory=$deploy/secrets
mkdir -p "$directory"
chmod 700 "$directory"
cd "$directory"

random() {
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

# Keeps what a command prints, once: a command that failed has made nothing.
keep() {
    local file=$1
    shift
    if [ ! -e "$file" ]; then
        "$@" >"$file.new"
        mv "$file.new" "$file"
    fi
}

password() {
    # SQL Server wants letters of both cases and digits.
    printf Aa1
    random 18
}

for name in sqlserver_sa sqlserver_reader postgres_owner postgres_reader grafana \
    rabbitmq_admin rabbitmq_coordinator rabbitmq_worker rabbitmq_monitor; do
    keep "${name}_password" password
done
for user in coordinator worker; do
    printf 'amqp://reconcile-%s:%s@rabbitmq:5672/reconcile' \
        "$user" "$(cat "rabbitmq_${user}_password")" >"rabbitmq_${user}_url"
done
keep rabbitmq_definitions "$deploy/rabbitmq/with-passwords.sh" \
    reconcile-admin=rabbitmq_admin_password reconcile-coordinator=rabbitmq_coordinator_password \
    reconcile-worker=rabbitmq_worker_password reconcile-monitor=rabbitmq_monitor_password
keep signing_key random 32
# The containers' users, who are not this one, have to read the files; the
# directory keeps others out.
chmod 644 ./*
echo "passwords are in $directory"
