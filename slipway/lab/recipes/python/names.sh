#!/bin/sh
# Gives Debian's Python the names and places of the official image: /usr/local/bin/{python,python3,pip,...}.
set -eu
for name in python python3 python3.13; do ln -sf /usr/bin/python3.13 "/usr/local/bin/$name"; done
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
# What images copy from one stage to the next.
mkdir -p /usr/local/lib/python3.13/dist-packages
ln -sfn dist-packages /usr/local/lib/python3.13/site-packages
pip=$(echo /usr/share/python-wheels/pip-*.whl)
python3 "$pip/pip" install --quiet --no-index --find-links /usr/share/python-wheels --root-user-action ignore pip
