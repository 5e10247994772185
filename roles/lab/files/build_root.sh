#!/bin/sh
# Builds the root file system of the nodes that are containers, from Debian packages: archive, suite, packages.
# The archive gets its name when it is whole; a build that was cut off leaves only a .partial.
set -eu
archive=$1 suite=$2 packages=$3

if ! command -v mmdebstrap >/dev/null 2>&1; then
  echo "mmdebstrap is missing; on Debian or Ubuntu: apt-get install mmdebstrap debian-archive-keyring" >&2
  exit 2
fi
mkdir -p "$(dirname "$archive")"
trap 'rm -f "$archive.partial"' EXIT
# A container's systemd must leave alone what belongs to the machine: devices, kernel modules, sysctls, consoles, clock.
mmdebstrap --quiet --variant=minbase --format=tar --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='chroot "$1" systemctl --quiet mask systemd-udevd.service systemd-udevd-control.socket \
    systemd-udevd-kernel.socket systemd-udev-trigger.service systemd-modules-load.service systemd-sysctl.service \
    systemd-binfmt.service systemd-timesyncd.service systemd-journald-audit.socket systemd-remount-fs.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount console-getty.service getty.target \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer' \
  --customize-hook='chroot "$1" systemctl --quiet enable ssh.service' \
  --customize-hook='rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf' \
  --customize-hook='truncate --size=0 "$1"/etc/machine-id' \
  "$suite" "$archive.partial"
mv "$archive.partial" "$archive"
