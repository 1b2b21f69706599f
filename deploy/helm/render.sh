#!/usr/bin/env bash
# Writes what Helm makes of the chart to files: with the example's values for kustomize, and
# with every optional part for the tests. Needs Helm 3.8 or newer.
#
#   deploy/helm/render.sh            writes both files
#   deploy/helm/render.sh --digest   prints the digest of the chart and the values, without Helm
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
chart=deploy/helm/reconcile
example=deploy/kubernetes/values.yaml
everything=tests/chart/values.yaml

# The digest in a file shows whether the chart has changed since the file was written. The
# alerts, a link, are not in the files.
digest() {
    find "$chart" "$example" "$everything" -type f -print0 | LC_ALL=C sort -z |
        xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}

# render FILE VALUES…
render() {
    local file=$1 values=()
    shift
    for one in "$@"; do values+=(--values "$one"); done
    helm lint --quiet --strict "$chart" "${values[@]}" >&2
    {
        echo "# Written by deploy/helm/render.sh from $chart with the values of $*."
        echo "# Digest of chart and values: $(digest)"
        helm template reconcile "$chart" --namespace reconcile "${values[@]}" | sed 's/ *$//'
    } >"$file.new"
    mv "$file.new" "$file"
}

case ${1:-} in
    --digest) digest ;;
    '')
        render deploy/kubernetes/reconcile.yaml "$example"
        render tests/chart/rendered.yaml "$example" "$everything"
        ;;
    *) echo "usage: render.sh [--digest]" >&2 && exit 2 ;;
esac
