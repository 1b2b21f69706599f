# shellcheck shell=bash
# Installs missing Debian packages, without starting or enabling a service. To
# be sourced; defines `need_packages`, `compiler_packages`, `service_packages`
# and `need_rust`.

# Runs a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        echo "error: this needs root, and there is no sudo: $*" >&2
        return 1
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# Installs packages in a subshell, whose traps revert the temporary changes also
# when it fails.
install_packages() (
    set -euo pipefail
    policy=/usr/sbin/policy-rc.d
    clusters=/etc/postgresql-common/createcluster.conf
    made_policy=no
    kept_clusters=
    output=$(mktemp)
    # shellcheck disable=SC2317  # called by the trap
    undo() {
        rm -f "$output"
        [ "$made_policy" = no ] || as_root rm -f "$policy"
        if [ -n "$kept_clusters" ]; then
            as_root cp "$kept_clusters" "$clusters"
            rm -f "$kept_clusters"
        fi
    }
    trap undo EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    # Prints apt's output only if it fails.
    apt() {
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$output" 2>&1 && return
        cat "$output" >&2
        return 1
    }

    echo "installing $*" >&2
    # 101 forbids the packages' scripts to start anything.
    if [ ! -e "$policy" ]; then
        made_policy=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    apt update
    case " $* " in
        *" postgresql "*)
            # The package of the server would create a cluster and enable it.
            apt install -y --no-install-recommends postgresql-common
            kept_clusters=$(mktemp)
            cp "$clusters" "$kept_clusters"
            echo 'create_main_cluster = false' | as_root tee -a "$clusters" >/dev/null
            ;;
    esac
    new_broker=no
    case " $* " in *" rabbitmq-server "*) new_broker=yes ;; esac
    new_prometheus=no
    case " $* " in *" prometheus "*) new_prometheus=yes ;; esac
    new_mapper=no
    [ -e /usr/bin/epmd ] || new_mapper=$new_broker
    apt install -y --no-install-recommends "$@"
    # Nor may they start at the next boot.
    if command -v systemctl >/dev/null; then
        [ "$new_broker" = no ] || as_root systemctl disable --quiet rabbitmq-server.service || true
        [ "$new_prometheus" = no ] || as_root systemctl disable --quiet prometheus.service || true
        [ "$new_mapper" = no ] || as_root systemctl disable --quiet epmd.socket epmd.service || true
    fi
)

# need_packages PATH PACKAGE [PATH PACKAGE]...: installs, all at once, the
# packages whose path (a pattern) does not exist.
need_packages() {
    local missing=()
    while [ "$#" -gt 1 ]; do
        compgen -G "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
}

# For need_packages: what a build needs, and what the services need with it.
compiler_packages=(
    '/usr/bin/cc' gcc
    '/usr/include/stdlib.h' libc6-dev
)
# shellcheck disable=SC2034  # used by the scripts that source this file
service_packages=(
    '/usr/lib/postgresql/*/bin/initdb' postgresql
    '/usr/lib/rabbitmq/bin/rabbitmq-server' rabbitmq-server
    "${compiler_packages[@]}"
)

need_rust() {
    # The search path of a login shell has it; that of a service may not.
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    if ! command -v cargo >/dev/null; then
        echo "error: Rust is missing; install it as https://rustup.rs says" >&2
        return 1
    fi
}
