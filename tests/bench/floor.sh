#!/bin/bash
# The floor of `inv bench`: a new version by hand over SSH: pull, up beside, wait for health, switch, one curl
# (as Bash does it: the host has none).
# floor.sh RELEASE API_IMAGE WORKER_IMAGE SSH_ARGUMENT...     (what lies in ~/floor on the host: see floor.py)
set -euo pipefail
release=$1 api=$2 worker=$3
shift 3
ssh "$@" RELEASE="$release" API="$api" WORKER="$worker" bash -eu <<'ON_THE_HOST'
cd ~/floor
docker pull -q "$API" > /dev/null & docker pull -q "$WORKER" > /dev/null
wait $!
docker compose -p "floor-$RELEASE" -f compose.yaml up -d --wait --quiet-pull < /dev/null 2> up.log
sed "s/RELEASE/$RELEASE/g" haproxy.template > proxy/haproxy.cfg
docker kill -s USR2 floor-proxy > /dev/null
until exec 3<> /dev/tcp/127.0.0.1/8090 && printf 'GET /version HTTP/1.0\r\n\r\n' >&3 && grep -q "\"$RELEASE\"" <&3; do sleep 0.05; done
ON_THE_HOST
