#!/usr/bin/env bash
# Prints definitions.json with the passwords of its users, as salted hashes.
# A user that is not named cannot log in.
#
#   with-passwords.sh reconcile-worker=FILE reconcile-coordinator=FILE … >definitions.json
#
# Each FILE holds a password, without a newline at its end.
set -euo pipefail
# Also of $(…): a hash that could not be made is none.
shopt -s inherit_errexit

# RabbitMQ's own form: base64 of a salt of four bytes and SHA-256 of salt and password.
hash_of() {
    local salt
    salt=$(mktemp)
    # It runs in a shell of its own, which ends here or where something fails.
    # shellcheck disable=SC2064  # as it is now
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
        *) echo "error: definitions.json has no user $user" >&2 && exit 2 ;;
    esac
    hash=$(hash_of "$file")
    definitions=${definitions/"$before"/"$before$hash"}
done
printf '%s\n' "$definitions"
