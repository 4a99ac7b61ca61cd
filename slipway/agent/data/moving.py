"""Putting restored files in the place of what is there: shell scripts for a throw-away container that has the volume.

What was there is moved into `.slipway-old`, then what was loaded out of `.slipway-new`. Where that was ended in between, `RECOVER`,
with which every script begins, goes back as long as something of the old data is in its place, and else goes on to the new ones.
Nothing is removed before.
"""

from __future__ import annotations

NEW, OLD = ".slipway-new", ".slipway-old"
"""Folders in a volume that a restore makes; a killed one may leave them, the next removes them."""

# `.whole` says that the whole folder is being moved, `.out` that all of the old is out; `N.path` where the old thing N was.
RECOVER = """
recover() (
    cd "$1" && [ -d .slipway-old ] || return 0
    if [ -e .slipway-old/.out ]; then
        [ ! -d .slipway-new ] || find .slipway-new -mindepth 1 -maxdepth 1 -exec mv -t . -- {} +
    elif [ -e .slipway-old/.whole ]; then
        find .slipway-old -mindepth 1 -maxdepth 1 ! -name .whole -exec mv -t . -- {} +
    fi
    for note in .slipway-old/*.path; do
        [ -e "$note" ] || continue
        path=$(cat "$note"); old=${note%.path}
        if [ -e "$old" ] || [ -L "$old" ]; then
            [ -e "$path" ] || [ -L "$path" ] || mv -T -- "$old" "$path"
        fi
    done
)
"""

SWAP = (
    RECOVER
    + """
recover "$1"; cd "$1"
[ -d .slipway-new ] || { echo 'nothing was loaded' >&2; exit 1; }
rm -rf .slipway-old; mkdir .slipway-old; touch .slipway-old/.whole
find . -mindepth 1 -maxdepth 1 ! -name .slipway-new ! -name .slipway-old -exec mv -t .slipway-old -- {} +
touch .slipway-old/.out
find .slipway-new -mindepth 1 -maxdepth 1 -exec mv -t . -- {} +
sync
rm -rf .slipway-new; rm -rf .slipway-old
"""
)
"""Everything in a folder ($1). Each entry is moved by one call of the kernel; there are few at the top of a data folder."""

SWAP_ONE = (
    RECOVER
    + """
recover "$1"; cd "$1"; path=$2; number=$3
[ -e ".slipway-new/$number" ] || { echo 'nothing was loaded' >&2; exit 1; }
mkdir -p .slipway-old "$(dirname "$path")"
rm -rf ".slipway-old/$number" ".slipway-old/$number.path"
printf %s "$path" > ".slipway-old/$number.path"
if [ -e "$path" ] || [ -L "$path" ]; then mv -T -- "$path" ".slipway-old/$number"; fi
mv -T -- ".slipway-new/$number" "$path"
sync
"""
)
"""One file or folder ($2) of a volume ($1), of which the loaded one has a number ($3)."""

CLEAN = RECOVER + '\nrecover "$1"; cd "$1" && rm -rf .slipway-new && rm -rf .slipway-old\n'
"""Remove what restores have left in a folder ($1)."""
