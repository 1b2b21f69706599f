#!/usr/bin/env bash
# Creates the missing passwords of docker-compose.yml.
set -euo pipefail

deploy=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
directory=$deploy/secrets
mkdir -p "$directory"
chmod 700 "$directory"
cd "$directory"

random() {
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

# Writes the output of a command to a file that does not exist yet. If the command
# fails, no file is created.
keep() {
    local file=$1
    shift
    if [ ! -e "$file" ]; then
        "$@" >"$file.new"
        mv "$file.new" "$file"
    fi
}

password() {
    # SQL Server requires upper and lower case letters and digits.
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
# The users of the containers differ from this user and must read the files. The
# mode of the directory denies access to other users.
chmod 644 ./*
echo "The passwords are in $directory."
