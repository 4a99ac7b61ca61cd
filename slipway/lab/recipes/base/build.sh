#!/bin/sh
# Makes a Debian root file system like the official `-slim` image, and apt's package lists beside it, as two tar files.
# Usage: build.sh SUITE OUT MIRROR SECURITY    (as root; empty MIRROR: debootstrap's own default)
# Run in a mount namespace of its own (unshare --mount): a killed run leaves no mounts and no files behind but OUT.
set -eu
suite=$1 out=$2 mirror=$3 security=$4

work=$out/tree
mkdir -p "$work"
# In memory where there is enough of it: what dpkg syncs costs nothing, and a killed run leaves nothing.
if [ "$(awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)" -gt 3000 ]; then
    mount -t tmpfs -o size=1500m,mode=755 slipway-base "$work"
fi
root=$work/root
if [ -n "$mirror" ]; then
    # By the script of sid, which fits all suites since: an older debootstrap does not know this one by name.
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" /usr/share/debootstrap/scripts/sid
else
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root"
    mirror=$(awk '$1 == "deb" { print $2; exit }' "$root/etc/apt/sources.list")
fi

# The machine's private certificate authorities, so that what it can reach can be reached from inside.
for file in /usr/local/share/ca-certificates/*.crt; do
    if [ -f "$file" ]; then cp "$file" "$root/usr/local/share/ca-certificates/"; fi
done
chroot "$root" update-ca-certificates
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
rm -f "$root/etc/apt/sources.list"
{
    printf 'Types: deb\nURIs: %s\nSuites: %s %s-updates\nComponents: main\nSigned-By: %s\n' "$mirror" "$suite" "$suite" $keyring
    if [ -n "$security" ]; then
        printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nSigned-By: %s\n' "$security" "$suite" $keyring
    fi
} > "$root/etc/apt/sources.list.d/debian.sources"

# As in the official image: no services while packages install, no syncs, no documentation, no caches.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
echo 'Acquire::Languages "none";' > "$root/etc/apt/apt.conf.d/docker-no-languages"
echo 'APT::AutoRemove::SuggestsImportant "false";' > "$root/etc/apt/apt.conf.d/docker-autoremove-suggests"
{
    for path in doc groff info linda lintian locale man; do echo "path-exclude /usr/share/$path/*"; done
    echo 'path-include /usr/share/doc/*/copyright'
} > "$root/etc/dpkg/dpkg.cfg.d/docker"
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/usr/share/groff/* "$root"/usr/share/info/* "$root"/usr/share/lintian/* "$root"/usr/share/man/* \
    "$root"/usr/share/locale/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/log/*.log \
    "$root"/var/log/apt/* "$root"/var/cache/debconf/*-old "$root"/etc/machine-id "$root"/etc/hostname "$root"/etc/resolv.conf

tar -C "$root" --numeric-owner -cf "$out/lists.tar" ./var/lib/apt/lists
find "$root/var/lib/apt/lists" -type f -delete
tar -C "$root" --numeric-owner --exclude './dev/*' --exclude './proc/*' --exclude './sys/*' -cf "$out/base.tar" .
