#!/usr/bin/env bash
# Makes the passwords of docker-compose.yml, where there are none yet.
set -euo pipefail

directory=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/secrets
mkdir -p "$directory"
chmod 700 "$directory"
for name in sqlserver_password postgres_password rabbitmq_password; do
    [ -e "$directory/$name" ] && continue
    # SQL Server wants letters of both cases and digits. The containers' users,
    # who are not this one, have to read the files; the directory keeps others out.
    printf 'Aa1%s' "$(od -An -N 18 -tx1 /dev/urandom | tr -d ' \n')" >"$directory/$name"
    chmod 644 "$directory/$name"
done
if [ ! -e "$directory/rabbitmq_url" ]; then
    printf 'amqp://reconcile:%s@rabbitmq:5672/%%2f' "$(cat "$directory/rabbitmq_password")" >"$directory/rabbitmq_url"
    chmod 644 "$directory/rabbitmq_url"
fi
echo "passwords are in $directory"
