#!/usr/bin/env bash
# Prints definitions.json with salted password hashes for the named users. Users
# that are not named cannot log in.
#
#   with-passwords.sh reconcile-worker=FILE reconcile-coordinator=FILE … >definitions.json
#
# Each FILE contains a password without a newline at the end.
set -euo pipefail
# Also inside $(…): if a hash cannot be computed, the script fails.
shopt -s inherit_errexit

# The format of RabbitMQ: base64 of a four-byte salt and SHA-256 of salt and password.
hash_of() {
    local salt
    salt=$(mktemp)
    # The function runs in a subshell. The trap removes the file when the subshell
    # ends, also after an error.
    # shellcheck disable=SC2064  # expand $salt now
    trap "rm -f '$salt'" EXIT
    head -c 4 /dev/urandom >"$salt"
    { cat "$salt" && cat "$salt" "$1" | openssl dgst -sha256 -binary; } | base64 -w 0
}

definitions=$(cat "$(dirname "${BASH_SOURCE[0]}")/definitions.json")
for pair in "$@"; do
    user=${pair%%=*} file=${pair#*=}
    before="\"name\": \"$user\", \"password_hash\": \""
    case $definitions in
        *"$before\""*) ;;
        *) echo "error: definitions.json contains no user $user" >&2 && exit 2 ;;
    esac
    hash=$(hash_of "$file")
    definitions=${definitions/"$before"/"$before$hash"}
done
printf '%s\n' "$definitions"
