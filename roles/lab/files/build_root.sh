#!/bin/sh
# Builds what nodes start from, out of Debian packages: kind (containers or vm), target, suite, packages, disk size in GiB.
# For containers the target is an archive of a root file system; for machines a folder with disk, kernel and initrd.
# The target gets its name when it is whole; a build that was cut off leaves only a .partial.
set -eu
kind=$1 target=$2 suite=$3 packages=$4 disk_gib=${5:-}

case $suite in
'' | *[!a-z0-9-]*)
  echo "lab_suite is \"$suite\": expected the name of a Debian release, such as bookworm" >&2
  exit 2
  ;;
esac

need() {
  if ! command -v "$1" >/dev/null 2>&1; then
    echo "$1 is missing; on Debian or Ubuntu: apt-get install $2" >&2
    exit 2
  fi
}
need mmdebstrap "mmdebstrap debian-archive-keyring"
mkdir -p "$(dirname "$target")"
rm -rf "$target.partial"
trap 'rm -rf "$target.partial"' EXIT

masks="console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
  fstrim.timer"
build() {
  mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="chroot \"\$1\" systemctl --quiet mask $(echo $masks)" \
    --customize-hook='chroot "$1" systemctl --quiet enable ssh.service' \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf' \
    --customize-hook='truncate --size=0 "$1"/etc/machine-id' \
    "$@"
}

if [ "$kind" = containers ]; then
  # A container's systemd must leave alone what belongs to the machine: devices, modules, sysctls, consoles, clock.
  masks="$masks systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket
    systemd-udev-trigger.service systemd-modules-load.service systemd-sysctl.service systemd-binfmt.service
    systemd-timesyncd.service systemd-journald-audit.socket systemd-remount-fs.service dev-hugepages.mount
    dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
    sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount"
  build --format=tar "$suite" "$target.partial"
  mv "$target.partial" "$target"
  exit
fi

need mkfs.ext4 e2fsprogs
# An emulated CPU is slow: nothing starts that a node does not need, and the initrd only finds the disk.
masks="$masks e2scrub_reap.service systemd-pstore.service systemd-logind.service systemd-binfmt.service
  proc-sys-fs-binfmt_misc.automount systemd-update-utmp.service systemd-update-utmp-runlevel.service
  modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@fuse.service modprobe@loop.service
  sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount
  dev-hugepages.mount dev-mqueue.mount"
files=$(cd "$(dirname "$0")/machine" && pwd)
mkdir "$target.partial"
root=$target.partial/root
build --format=directory \
  --essential-hook="install -D -m 644 '$files/tiny-initramfs.conf' -t \"\$1\"/etc/tiny-initramfs" \
  --customize-hook="install -m 644 '$files'/faasbed-*.service -t \"\$1\"/etc/systemd/system" \
  --customize-hook="install -D -m 644 '$files/udev-trigger.conf' -t \"\$1\"/etc/systemd/system/systemd-udev-trigger.service.d" \
  --customize-hook='mkdir -p "$1"/etc/systemd/system-generators; for one in "$1"/lib/systemd/system-generators/*; do \
    ln -s /dev/null "$1/etc/systemd/system-generators/${one##*/}"; done' \
  --customize-hook='rm -rf "$1"/var/log/journal' \
  --customize-hook='chroot "$1" systemctl --quiet enable faasbed-files.service faasbed-network.service' \
  "$suite" "$root"
mv "$root"/boot/vmlinuz-* "$target.partial/vmlinuz"
mv "$root"/boot/initrd.img-* "$target.partial/initrd.img"
truncate --size="${disk_gib}G" "$target.partial/disk.raw"
mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 -d "$root" "$target.partial/disk.raw"
rm -rf "$root"
rm -rf "$target"
mv "$target.partial" "$target"
