#!/bin/sh
# What a person would do on the host without Slipway, and as carefully: dump and files into restic, the same checksums of rows and
# files, the repository checked. Usage: by_hand_backup.sh RESTIC REPOSITORY FOLDER; RESTIC_PASSWORD is set.
set -eu
restic=$1 repository=$2 folder=$3
run() { "$restic" --no-cache --quiet --repo "$repository" "$@"; }
db() { docker exec -i books-accessories-db-1 "$@"; }

[ -e "$repository/config" ] || run init
begun=$(date +%s%N)
db pg_dump --username books --format custom --compress 0 books | run backup --stdin --stdin-filename db.dump
for table in $(db psql -qAtX -U books books -c "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename = 'big'"); do
    db psql -qAtX -U books books -c "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM $table AS t" > /dev/null
done
run dump --no-lock latest db.dump 2> /dev/null | db pg_restore --list > /dev/null
find "$folder" -type f -exec sha256sum {} + > /dev/null
run backup "$folder"
run check
echo $((($(date +%s%N) - begun) / 1000000))
