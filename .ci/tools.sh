# shellcheck shell=bash
# Checks of scripts, documents and dependencies, for .ci/run and the hosted
# workflow. To be sourced in the root of the checkout.

# shellcheck disable=SC2034  # used by the scripts that source this file
machete_version=0.9.2
# shellcheck disable=SC2034  # used by the scripts that source this file
deny_version=0.20.2

# Installs a cargo subcommand in this version, unless it is there, and sets
# `tool` to its path. It is kept with what cargo builds. It runs for a second,
# so it is not worth an optimized build.
need_tool() {
    local root=${CARGO_TARGET_DIR:-$PWD/target}/tools/$1-$2
    # shellcheck disable=SC2034  # used by the caller
    tool=$root/bin/$1
    [ -x "$tool" ] || CARGO_PROFILE_DEV_DEBUG=false \
        cargo install --quiet --locked --profile dev --version "$2" --root "$root" "$1" </dev/null
}

# Checks every shell script of the checkout.
check_scripts() {
    find . \( -name target -o -name .git \) -prune -o \
        -type f \( -name '*.sh' -o -path './.ci/run' \) -print0 |
        xargs -0 shellcheck --external-sources --source-path=SCRIPTDIR
}

# Builds the documents of all crates; a broken link is an error.
check_documents() {
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
}
