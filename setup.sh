#!/bin/sh
# Installs what is missing for `make experiment` (argument: testbed), for development (argument: dev) or for the tests
# that need neither root nor nodes (argument: unit; no Debian packages beside Python), and prints what it installs.
# A second argument names the inventory, or `artifacts`: nodes that are containers or machines need more programs than
# namespaces do, and so does `make artifacts`.
# A second run finds everything there and says nothing.
set -eu
cd "$(dirname "$0")"
purpose=${1:-testbed}
inventory=${2:-local}

# The distribution's family, and its table of package names, which the roles read too.
family=$(
  [ ! -r /etc/os-release ] || . /etc/os-release
  case " ${ID:-} ${ID_LIKE:-} " in
    *" debian "*) echo Debian ;;
    *" rhel "* | *" fedora "*) echo RedHat ;;
    *" suse "*) echo Suse ;;
    *" arch "*) echo Archlinux ;;
    *" alpine "*) echo Alpine ;;
  esac
)
table=roles/node/vars/$family.yml
supported=yes
[ -r "$table" ] || { supported="" table=roles/node/vars/Debian.yml; }

# package PROGRAM: the package that has a program; need PROGRAM: add it where the program is missing
packages=""
package() {
  sed -n "s/^  $1: //p" "$table"
}
need() {
  command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || packages="$packages $(package "$1")"
}
need git
if [ "$purpose" != unit ]; then
  need ip
  need ssh
  need sshd
  need ssh-keygen
  need taskset
fi
if ! command -v python3 >/dev/null 2>&1; then
  packages="$packages $(package python3) $(package venv)"
elif ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: $(command -v python3) is $(python3 -V); faasbed needs Python 3.11 or later." >&2
  exit 2
elif [ ! -x .venv/bin/python ] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  packages="$packages $(package venv)"
fi
if [ "$purpose" = dev ] || [ "$inventory" = containers ]; then
  need mmdebstrap
  need podman
  need runc
fi
if [ "$purpose" = dev ] || [ "$inventory" = vm ]; then
  case $(uname -m) in
    aarch64) need qemu-system-aarch64 ;;
    *) need qemu-system-x86_64 ;;
  esac
  need qemu-img
  need mmdebstrap
  need mkfs.ext4
fi
if [ "$purpose" = dev ] || [ "$inventory" = artifacts ]; then
  need skopeo
  need zstd
fi
if [ "$purpose" = dev ]; then
  need chromium
  need linux.uml
  need nft
  need sudo
fi
packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')

if [ -n "${packages% }" ]; then
  if [ -z "$supported" ]; then
    echo "error: ${family:-this distribution} has no package names in roles/node/vars; install the programs of these Debian" \
      "packages, then run this again: $packages" >&2
    exit 2
  fi
  install=$(sed -n 's/^node_install_command: //p' "$table")
  if [ "$(id -u)" -ne 0 ]; then
    echo "error: missing packages; install them, then run this again: sudo $install $packages" >&2
    exit 2
  fi
  echo "installing packages: $packages"
  export DEBIAN_FRONTEND=noninteractive
  ! command -v apt-get >/dev/null 2>&1 || apt-get update -qq
  # sshd is started by the lab inside its own namespaces, never by its package on this machine: policy-rc.d prevents it
  # as long as this process runs, so that one that was left behind by a killed process forbids nothing.
  policy=/usr/sbin/policy-rc.d
  mark="# Made by faasbed's setup.sh"
  if [ ! -e $policy ] || grep -qF "$mark" $policy; then
    printf '#!/bin/sh\n%s, process %s\n[ ! -e /proc/%s ] || exit 101\n' "$mark" $$ $$ >$policy
    chmod 755 $policy
    trap "rm -f $policy" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
  fi
  # apt-get refuses to go on where an installation was killed: what it left half done is configured first. One that still
  # goes on, as the child of a setup that was killed, is waited for.
  if command -v apt-get >/dev/null 2>&1; then
    apt-get check -qq -o DPkg::Lock::Timeout=600 >/dev/null 2>&1 || dpkg --configure -a >/dev/null
  fi
  $install $packages >/dev/null
  # Nor at the next boot, if this script installed it.
  case "$packages" in *openssh-server*) ! command -v systemctl >/dev/null 2>&1 || systemctl disable --quiet ssh ;; esac
fi

[ "$purpose" != unit ] || purpose=dev
lock=requirements/$purpose.txt
stamp=.venv/$purpose.lock
if ! cmp -s "$lock" "$stamp"; then
  echo "installing the Python environment of $lock into .venv (about a minute)"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  cp "$lock" "$stamp"
  # The other environment is a part of this one, or this one is a part of the other: both hold the same versions.
  [ "$purpose" = testbed ] || cp requirements/testbed.txt .venv/testbed.lock
fi
