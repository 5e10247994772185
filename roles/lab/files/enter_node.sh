#!/bin/sh
# Started inside a node's own network, mount and UTS namespaces: lays out the node's paths, then becomes the
# command that follows, its sshd.
# What a node writes outside its state folder ends with the node: /run, /var/log and /dev/shm are its own memory.
set -eu
name=$1 home=$2 state_dir=$3 shadow=$4
shift 4

echo "$name" >/proc/sys/kernel/hostname
# A new network namespace may take its settings from a machine that forwards (Docker's do); a node never does.
[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ] || echo 0 >/proc/sys/net/ipv4/ip_forward

mount --bind "$home" "$state_dir"
# sshd without PAM refuses a locked root account (`!` in shadow, as on Ubuntu), even with a key.
[ -z "$shadow" ] || mount --bind "$shadow" /etc/shadow
mount -t tmpfs -o mode=1777 faasbed /dev/shm
mount -t tmpfs -o mode=755,size=16m faasbed /var/log
mount -t tmpfs -o mode=755,size=64m faasbed /run
mkdir -p /run/sshd /run/faasbed
mkdir -p -m 1777 /run/lock

# A network namespace comes with a /sys of its own, without the machine's control groups, which limit replicas.
if [ -d /sys/fs/cgroup ] && [ -z "$(ls -A /sys/fs/cgroup)" ]; then
    # A line of version 1 names its controllers: 4:cpu,cpuacct:/
    legacy=$(cut -d : -f 2 /proc/self/cgroup | grep -Ex '(.*,)?(cpu|memory)(,.*)?' || true)
    if [ -z "$legacy" ]; then
        mount -t cgroup2 faasbed /sys/fs/cgroup || true
    else
        mount -t tmpfs -o mode=755,size=64k faasbed /sys/fs/cgroup
        for controllers in $legacy; do
            for name in cpu memory; do
                case ",$controllers," in *",$name,"*)
                    mkdir /sys/fs/cgroup/$name
                    mount -t cgroup -o "$controllers" faasbed /sys/fs/cgroup/$name || rmdir /sys/fs/cgroup/$name ;;
                esac
            done
        done
    fi
fi

exec "$@"
