#!/usr/bin/env bash
# The committed stubs must be what `make protos` would write.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
tools/protos.sh "$fresh"
for made in "$fresh"/fieldline/v1/*; do
  if ! cmp -s "$made" "protos/fieldline/v1/$(basename "$made")"; then
    echo "protos/fieldline/v1/$(basename "$made") is not what the .proto files say; run: make protos" >&2
    exit 1
  fi
done
sparkplug=fieldline_edge/drivers/mqtt/sparkplug
for made in "$fresh/$sparkplug"/*; do
  if ! cmp -s "$made" "edge/$sparkplug/$(basename "$made")"; then
    echo "edge/$sparkplug/$(basename "$made") is not what payload.proto says; run: make protos" >&2
    exit 1
  fi
done
echo "stubs match the .proto files"
