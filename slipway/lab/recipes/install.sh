#!/bin/sh
# Installs packages in an image: with the package lists that are mounted if they are still good, else with fresh ones.
# Usage: install.sh PACKAGE...
set -eu
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@" > /dev/null; }
install "$@" || { apt-get update -qq && install "$@"; }
apt-get clean
rm -rf /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
find /var/lib/apt/lists -type f -delete
