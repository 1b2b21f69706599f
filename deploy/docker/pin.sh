#!/usr/bin/env bash
# Writes the digests that the tags of the base images have today into the Dockerfile, and
# prints what has changed. Needs docker with buildx, and the network. Build and test the
# images before you commit the change.
set -euo pipefail

file=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/Dockerfile
pinned=$(cat "$file")
while read -r name image; do
    tag=${image%@*}
    digest=$(docker buildx imagetools inspect "$tag" --format '{{.Manifest.Digest}}')
    case $digest in
        sha256:*) ;;
        *) echo "error: $tag has no digest: $digest" >&2 && exit 1 ;;
    esac
    pinned=${pinned/"ARG $name=$image"/"ARG $name=$tag@$digest"}
    [ "$image" = "$tag@$digest" ] || echo "$name: $tag is now $digest"
done < <(sed -n 's/^ARG \([A-Z]*_IMAGE\)=\(.*\)$/\1 \2/p' "$file")
printf '%s\n' "$pinned" >"$file"
