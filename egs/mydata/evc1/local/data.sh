#!/usr/bin/env bash
# Stage 1 for one's own recordings: DB/<speaker>/<emotion>/*.wav becomes data directories with trials.
set -euo pipefail

db_root=                   # Folder with <speaker>/<emotion>/*.{wav,flac,ogg,mp3}.
download=false             # There is nothing to fetch; must stay false.
split=mine                 # A name for data/<split>; choose another one for other recordings.
emotion_map=               # Renames emotions, e.g. excited:happy.
directions=neutral:angry,angry:neutral # Conversions to try: source:target,...
intensity=                 # Not used here; must stay empty.
dev_fraction=0.1           # Of each speaker and emotion, for choosing the best model.
test_fraction=0.1          # Of each speaker and emotion, for the final table.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if "$download"; then
    echo "local/data.sh: error: there is nothing to fetch here; give your recordings with --db_root" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" local/mydata.py --db_root "$db_root" --manifest "$work/manifest.tsv"
"${PYTHON:-python3}" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --out "$out" \
    --dev_fraction "$dev_fraction" --test_fraction "$test_fraction" \
    --emotion_map "$emotion_map" --directions "$directions" --intensity "$intensity"
