#!/usr/bin/env bash
# Regenerates the stubs beside protos/fieldline/v1/*.proto. The generator is pinned low on purpose: its version is the
# floor for grpcio and protobuf that the stubs will run with. Give a folder to write elsewhere (the drift check does).
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-protos}
venv=${FIELDLINE_PROTOS_VENV:-.venv-protos}
if [ ! -x "$venv/bin/protoc-gen-mypy" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q 'grpcio-tools==1.76.0' 'mypy-protobuf==5.1.0' 'setuptools<81'
fi
"$venv/bin/python" -m grpc_tools.protoc -I protos \
  --plugin=protoc-gen-mypy="$venv/bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$venv/bin/protoc-gen-mypy_grpc" \
  --python_out="$out" --mypy_out="quiet:$out" protos/fieldline/v1/*.proto
"$venv/bin/python" -m grpc_tools.protoc -I protos \
  --plugin=protoc-gen-mypy="$venv/bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$venv/bin/protoc-gen-mypy_grpc" \
  --grpc_python_out="$out" --mypy_grpc_out="quiet:$out" protos/fieldline/v1/hub.proto protos/fieldline/v1/admin.proto
# Sparkplug B belongs to the driver that speaks it, and not to the contract.
"$venv/bin/python" -m grpc_tools.protoc -I edge \
  --plugin=protoc-gen-mypy="$venv/bin/protoc-gen-mypy" \
  --python_out="${1:-edge}" --mypy_out="quiet:${1:-edge}" edge/fieldline_edge/drivers/mqtt/sparkplug/payload.proto
