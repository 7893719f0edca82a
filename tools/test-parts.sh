#!/usr/bin/env bash
# The real parts the tests talk to and pip cannot bring. Installs what is missing where it may; otherwise says what to
# install. Tests that lack a part skip with a reason, except where CI=true: there they fail.
set -euo pipefail
# A Sparkplug B device. Its library wants an older paho than we do, so it gets a place of its own.
sparkplug=$(dirname "$0")/../.venv-sparkplug
if [ ! -e "$sparkplug/ready" ]; then
  python3 -m venv "$sparkplug" && "$sparkplug/bin/pip" install -q --disable-pip-version-check 'pysparkplug==0.6.1' &&
    touch "$sparkplug/ready" || echo "pysparkplug could not be installed; the tests with a Sparkplug device will be skipped" >&2
fi
missing=()
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing+=(mosquitto)
command -v strace >/dev/null || missing+=(strace)
command -v shellcheck >/dev/null || missing+=(shellcheck)
command -v socat >/dev/null || missing+=(socat)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v pkg-config >/dev/null || missing+=(pkg-config)
pkg-config --exists libmodbus 2>/dev/null || missing+=(libmodbus-dev)
[ ${#missing[@]} -eq 0 ] && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  # Installing a broker must not start it: the tests start their own, on free ports.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null; }
else
  echo "not installed: ${missing[*]}; their tests will be skipped. On Debian: sudo apt-get install ${missing[*]}" >&2
fi
