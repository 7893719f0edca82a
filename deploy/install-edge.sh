#!/bin/sh
# Installs the Fieldline gateway as a service on 64-bit Raspberry Pi OS or any Debian, or brings it up to date.
#
#   sudo ./install-edge.sh                          from the wheel or the checkout this script lies in, or the index
#   sudo ./install-edge.sh --wheel fieldline-0.1.0-py3-none-any.whl
#   sudo ./install-edge.sh --wheelhouse ./wheels    without the internet: every wheel is in that folder
#   sudo ./install-edge.sh --uninstall [--purge]
#
# Run again, it upgrades. /etc/fieldline/gateway.yaml and the spool are never overwritten.
set -eu

PREFIX=/opt/fieldline
CONFIG=/etc/fieldline
STATE=/var/lib/fieldline-edge
UNITS=/etc/systemd/system
UNIT=fieldline-edge.service
USER_NAME=fieldline

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=
PYTHON=
WHEEL=
WHEELHOUSE=
VERSION=
DRY_RUN=
UNINSTALL=
PURGE=
START=yes

usage() {
    cat <<'END'
Usage: install-edge.sh [options]

  --wheel FILE|URL     install this wheel
  --version VERSION    install this release from the package index
  --wheelhouse FOLDER  take the wheel and all it needs from this folder; no network is used
  --python PROGRAM     Python to build on, 3.11 or newer (default: the newest that is there)
  --no-start           do not start the service
  --root FOLDER        install below this folder, without user and service: for images and tests
  --uninstall          remove service and program; configuration and spool stay
  --purge              with --uninstall: remove configuration, spool and user as well
  --dry-run            say what would be done, and do nothing
  --help               this text

Exit codes: 0 done, 1 a step failed, 2 wrong usage, or this machine cannot run the gateway.
END
}

say() { printf '%s\n' "$*"; }
fail() { printf 'install-edge: %s\n' "$1" >&2; exit "${2:-1}"; }

# Does one step, or says it under --dry-run.
run() {
    if [ -n "$DRY_RUN" ]; then
        say "would: $*"
    else
        "$@"
    fi
}

# With --root there is no service manager and no user to speak of.
on_this_machine() { [ -z "$ROOT" ]; }

value_of() {
    [ -n "${2:-}" ] || fail "$1 needs a value; see --help" 2
    printf '%s' "$2"
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --wheel) WHEEL=$(value_of "$@"); shift ;;
            --version) VERSION=$(value_of "$@"); shift ;;
            --wheelhouse) WHEELHOUSE=$(value_of "$@"); shift ;;
            --python) PYTHON=$(value_of "$@"); shift ;;
            --root) ROOT=$(value_of "$@"); shift ;;
            --no-start) START= ;;
            --uninstall) UNINSTALL=yes ;;
            --purge) PURGE=yes ;;
            --dry-run) DRY_RUN=yes ;;
            --help | -h) usage; exit 0 ;;
            *) fail "$1 is no option; see --help" 2 ;;
        esac
        shift
    done
    [ -z "$PURGE" ] || [ -n "$UNINSTALL" ] || fail "--purge goes with --uninstall" 2
    [ -z "$WHEEL" ] || [ -z "$VERSION" ] || fail "--wheel and --version exclude each other" 2
    if [ -n "$WHEELHOUSE" ] && [ ! -d "$WHEELHOUSE" ]; then
        fail "--wheelhouse: $WHEELHOUSE is no folder" 2
    fi
}

check_machine() {
    machine=${FIELDLINE_MACHINE:-$(uname -m)}
    case $machine in
        aarch64 | arm64 | x86_64 | amd64) ;;
        armv6l | armv7l | armv8l)
            fail "this is a 32-bit system ($machine), and zstandard and grpcio have no wheels for it; \
install the 64-bit Raspberry Pi OS (Pi 3, 4, 5, Zero 2 W can run it)" 2 ;;
        *) fail "$machine is not supported; aarch64 and x86_64 are" 2 ;;
    esac
    # A 64-bit kernel with a 32-bit system around it, as some images of Raspberry Pi OS have.
    bits=${FIELDLINE_BITS:-$(getconf LONG_BIT)}
    [ "$bits" = 64 ] || fail "the kernel is 64-bit ($machine), but the system around it is $bits-bit; \
install the 64-bit Raspberry Pi OS" 2
    on_this_machine || return 0
    [ -n "$DRY_RUN" ] || [ "$(id -u)" = 0 ] || fail "must be root to install a service; run it with sudo" 2
    [ -d /run/systemd/system ] || [ -n "$DRY_RUN" ] || fail "systemd does not run here; use --root to install the files alone" 2
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    if [ -n "$PYTHON" ]; then
        new_enough "$PYTHON" || fail "$PYTHON is not Python 3.11 or newer" 2
    else
        for PYTHON in python3.13 python3.12 python3.11 python3; do
            ! new_enough "$PYTHON" || break
        done
        new_enough "$PYTHON" || fail "no Python 3.11 or newer is here; Raspberry Pi OS 12 (bookworm) and newer bring it" 2
    fi
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$PYTHON cannot make a virtual environment; run: apt-get install python3-venv" 2
}

# What to hand to pip: what was asked for, a wheel beside this script, the checkout around it, or the package index.
find_package() {
    if [ -n "$VERSION" ]; then
        PACKAGE="fieldline[edge]==$VERSION"
        return
    fi
    if [ -z "$WHEEL" ]; then
        for found in ${WHEELHOUSE:+"$WHEELHOUSE"/fieldline-*.whl} "$HERE"/fieldline-*.whl; do
            [ ! -f "$found" ] || { WHEEL=$found; break; }
        done
    fi
    if [ -z "$WHEEL" ] && [ -z "$WHEELHOUSE" ] && [ -f "$HERE/../pyproject.toml" ]; then
        WHEEL=$(cd "$HERE/.." && pwd)
        PACKAGE="${WHEEL}[edge]"
        return
    fi
    case $WHEEL in
        '') PACKAGE='fieldline[edge]' ;;
        *://*) PACKAGE="fieldline[edge] @ $WHEEL" ;;
        *)
            [ -f "$WHEEL" ] || fail "--wheel: $WHEEL is not there" 2
            PACKAGE="$(cd "$(dirname "$WHEEL")" && pwd)/$(basename "$WHEEL")[edge]" ;;
    esac
}

make_user() {
    on_this_machine || return 0
    if ! getent passwd "$USER_NAME" >/dev/null; then
        run useradd --system --user-group --home-dir "$STATE" --shell /usr/sbin/nologin "$USER_NAME"
    fi
    ! getent group dialout >/dev/null || run usermod --append --groups dialout "$USER_NAME"
}

install_program() {
    if [ ! -x "$ROOT$PREFIX/bin/python" ]; then
        run mkdir -p "$ROOT$PREFIX"
        run "$PYTHON" -m venv "$ROOT$PREFIX"
    fi
    set -- install --quiet --disable-pip-version-check --no-warn-script-location --upgrade
    [ -z "$WHEELHOUSE" ] || set -- "$@" --no-index --find-links "$WHEELHOUSE"
    run "$ROOT$PREFIX/bin/python" -m pip "$@" "$PACKAGE" ||
        fail "pip could not install $PACKAGE; what was there before still is. Without the internet, use --wheelhouse"
    # The same version built anew must replace the old one as well.
    if [ -n "$WHEEL" ]; then
        run "$ROOT$PREFIX/bin/python" -m pip "$@" --force-reinstall --no-deps "$PACKAGE"
    fi
}

install_config() {
    run mkdir -p "$ROOT$CONFIG" "$ROOT$STATE"
    if [ -e "$ROOT$CONFIG/gateway.yaml" ]; then
        say "$CONFIG/gateway.yaml stays as it is"
    else
        if [ -n "$DRY_RUN" ]; then
            say "would: write $ROOT$CONFIG/gateway.yaml"
        else
            first_config >"$ROOT$CONFIG/gateway.yaml"
        fi
        NEW_CONFIG=yes
    fi
    if on_this_machine; then
        run chown -R "root:$USER_NAME" "$CONFIG"
        run chmod 750 "$CONFIG"
        run chmod 640 "$CONFIG/gateway.yaml"
        run chown "$USER_NAME:$USER_NAME" "$STATE"
        run chmod 750 "$STATE"
    fi
}

first_config() {
    host=$(hostname 2>/dev/null | tr -cd 'A-Za-z0-9_.-' | cut -c1-40)
    cat <<END
# What each key means, and all others: docs/reference/config-gateway.md
# Check it:   $PREFIX/bin/fieldline-edge check $CONFIG/gateway.yaml
# Take over:  sudo systemctl reload fieldline-edge
kind: gateway
name: gateway-${host:-1}
site: plant
hub: \${FIELDLINE_HUB:-127.0.0.1:50051}
spool:
  path: data/spool.db
metrics:
  listen: 127.0.0.1:9465
devices:
  # Your first device: its address, and what to read. More examples: docs/how-to/connect-a-modbus-device.md
  - driver: modbus
    name: device-1
    area: hall-1
    host: 192.168.1.20
    unit: 1
    period_ms: 1000
    tags:
      - {name: register-0, address: 0, type: uint16}
END
}

# The unit of a checkout goes before the one that the wheel brings.
install_unit() {
    for unit in "$HERE/systemd/$UNIT" "$HERE/$UNIT" ; do
        [ ! -f "$unit" ] || break
    done
    if [ ! -f "$unit" ]; then
        unit=$("$ROOT$PREFIX/bin/python" -c 'import fieldline_edge, pathlib; print(pathlib.Path(fieldline_edge.__file__).parent / "service/fieldline-edge.service")' 2>/dev/null || true)
    fi
    if [ ! -f "$unit" ] && [ -z "$DRY_RUN" ]; then
        fail "$UNIT is neither beside this script nor in the wheel"
    fi
    run mkdir -p "$ROOT$UNITS"
    run cp "$unit" "$ROOT$UNITS/$UNIT"
    run chmod 644 "$ROOT$UNITS/$UNIT"
    on_this_machine || return 0
    run systemctl daemon-reload
    run systemctl enable --quiet "$UNIT"
}

check_and_start() {
    if [ -n "$DRY_RUN" ]; then
        say "would: check $CONFIG/gateway.yaml, and start $UNIT"
        return
    fi
    "$ROOT$PREFIX/bin/fieldline-edge" --version
    if ! "$ROOT$PREFIX/bin/fieldline-edge" check "$ROOT$CONFIG/gateway.yaml" >/dev/null; then
        fail "the configuration is wrong (see above); correct it, then: systemctl restart $UNIT"
    fi
    on_this_machine || return 0
    if [ -n "$NEW_CONFIG" ] || [ -z "$START" ]; then
        say "next: edit $CONFIG/gateway.yaml, then: systemctl start $UNIT"
    else
        systemctl restart "$UNIT"
        say "running; follow it with: journalctl -u $UNIT -f"
    fi
}

uninstall() {
    if on_this_machine && [ -e "$UNITS/$UNIT" ]; then
        run systemctl disable --quiet --now "$UNIT"
    fi
    run rm -f "$ROOT$UNITS/$UNIT"
    ! on_this_machine || run systemctl daemon-reload
    if [ -e "$ROOT$UNITS/fieldline-hub.service" ]; then
        say "$PREFIX stays, because the hub runs from it"
    else
        run rm -rf "$ROOT$PREFIX"
    fi
    if [ -z "$PURGE" ] || [ -e "$ROOT$UNITS/fieldline-hub.service" ]; then
        say "removed; $CONFIG and the spool in $STATE stay (--purge removes them where no hub runs)"
        return
    fi
    run rm -rf "$ROOT$CONFIG" "$ROOT$STATE"
    if on_this_machine && getent passwd "$USER_NAME" >/dev/null; then
        run userdel "$USER_NAME"
    fi
    say "removed, with its configuration and its spool"
}

read_options "$@"
NEW_CONFIG=
PACKAGE=
# With no root folder a path begins with /; with one, ROOT goes before it.
if [ -n "$ROOT" ]; then
    mkdir -p "$ROOT"
    ROOT=$(cd "$ROOT" && pwd)
fi
check_machine
if [ -n "$UNINSTALL" ]; then
    uninstall
    exit 0
fi
find_python
find_package
make_user
install_program
install_config
install_unit
check_and_start
