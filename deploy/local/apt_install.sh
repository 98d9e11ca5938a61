#!/bin/sh
# Installs packages of Debian or Ubuntu, quietly, as root or through sudo, and starts none of the services in them.
#   apt_install.sh PACKAGE...
set -eu

if ! command -v apt-get >/dev/null; then
    echo "missing: $*; install it with this system's package manager and start again" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root() { "$@"; }
elif sudo -n true 2>/dev/null; then
    as_root() { sudo -n "$@"; }
else
    echo "missing: $*; type this and start again:  sudo apt-get install -y $*" >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # The run level is what keeps a start script of System V from starting anything.
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 RUNLEVEL=1 PREVLEVEL=N \
        apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1 </dev/null
}

# systemd is kept from it by masks; a unit that is there already is somebody's own and left as it is.
masked=
if [ -d /run/systemd/system ]; then
    for package in "$@"; do
        if ! systemctl cat "$package.service" >/dev/null 2>&1; then
            as_root systemctl mask --runtime --quiet "$package.service"
            masked="$masked $package.service"
        fi
    done
fi

echo "installing $*"
status=0
install "$@" || { as_root apt-get update >/dev/null 2>&1 </dev/null && install "$@"; } || status=$?

for unit in $masked; do
    as_root systemctl unmask --runtime --quiet "$unit"
    as_root systemctl disable --quiet "$unit" 2>/dev/null || true # not at the next start of the machine, either
done
if [ "$status" -ne 0 ]; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install $*" >&2
fi
exit "$status"
