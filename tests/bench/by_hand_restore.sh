#!/bin/sh
# What a person would do on the host without Slipway: the dump into a new database, the files into a folder beside the old one, one
# after the other. Nothing is compared. Usage: by_hand_restore.sh RESTIC REPOSITORY FOLDER; RESTIC_PASSWORD is set.
set -eu
restic=$1 repository=$2 folder=$3
run() { "$restic" --no-cache --quiet --repo "$repository" "$@"; }
db() { docker exec -i books-accessories-db-1 "$@"; }

db psql -qAtX -U books template1 -c 'DROP DATABASE IF EXISTS by_hand' -c 'CREATE DATABASE by_hand' > /dev/null
rm -rf "$folder.by-hand"
begun=$(date +%s%N)
run dump latest db.dump 2> /dev/null | db pg_restore --username books --exit-on-error --dbname by_hand
middle=$(date +%s%N)
run restore "latest:$folder" --target "$folder.by-hand"
echo $(((middle - begun) / 1000000)) $((($(date +%s%N) - middle) / 1000000))
db psql -qAtX -U books template1 -c 'DROP DATABASE by_hand'
rm -rf "$folder.by-hand"
