#!/bin/sh
# Installs what is missing for `make experiment` (argument: testbed), for development (argument: dev) or for the tests
# that need neither root nor nodes (argument: unit; no Debian packages beside Python), and prints what it installs.
# A second argument names the inventory, or `artifacts`: nodes that are containers or machines need more programs than
# namespaces do, and so does `make artifacts`.
# A second run finds everything there and says nothing.
set -eu
cd "$(dirname "$0")"
wanted=${1:-testbed}
inventory=${2:-local}

# program or file that tells whether a Debian package is there, and the package
packages=""
need() {
  command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || packages="$packages $2"
}
need git git
if [ "$wanted" != unit ]; then
  need ip iproute2
  need ssh openssh-client
  need sshd openssh-server
  need ssh-keygen openssh-client
  need taskset util-linux
fi
if ! command -v python3 >/dev/null 2>&1; then
  packages="$packages python3 python3-venv"
elif ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: $(command -v python3) is $(python3 -V); faasbed needs Python 3.11 or later." >&2
  exit 2
elif [ ! -x .venv/bin/python ] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  packages="$packages python3-venv"
fi
if [ "$wanted" = dev ] || [ "$inventory" = containers ]; then
  need mmdebstrap mmdebstrap
  need podman podman
  need runc runc
fi
if [ "$wanted" = dev ] || [ "$inventory" = vm ]; then
  case $(uname -m) in
    aarch64) need qemu-system-aarch64 qemu-system-arm ;;
    *) need qemu-system-x86_64 qemu-system-x86 ;;
  esac
  need qemu-img qemu-utils
  need mmdebstrap mmdebstrap
  need mkfs.ext4 e2fsprogs
fi
if [ "$wanted" = dev ] || [ "$inventory" = artifacts ]; then
  need skopeo skopeo
  need zstd zstd
fi
if [ "$wanted" = dev ]; then
  need chromium chromium
  need linux.uml user-mode-linux
fi
packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')

if [ -n "${packages% }" ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "error: this is no Debian or Ubuntu; install what these Debian packages hold, then run this again: $packages" >&2
    exit 2
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "error: these packages are missing; install them, then run this again: sudo apt-get install $packages" >&2
    exit 2
  fi
  echo "installing Debian packages: $packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # sshd is started by the lab inside its own namespaces, never by its package on this machine: policy-rc.d prevents it.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get install -qq -y --no-install-recommends $packages >/dev/null
  # Nor at its next start, where it was us who brought it.
  case "$packages" in *openssh-server*) ! command -v systemctl >/dev/null 2>&1 || systemctl disable --quiet ssh ;; esac
fi

[ "$wanted" != unit ] || wanted=dev
lock=requirements/$wanted.txt
stamp=.venv/$wanted.lock
if ! cmp -s "$lock" "$stamp"; then
  echo "installing the Python environment of $lock into .venv (about a minute)"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  cp "$lock" "$stamp"
  # The other environment is a part of this one, or this one is a part of the other: both hold the same versions.
  [ "$wanted" = testbed ] || cp requirements/testbed.txt .venv/testbed.lock
fi
