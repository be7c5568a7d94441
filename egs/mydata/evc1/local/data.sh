#!/usr/bin/env bash
# Stage 1 for one's own recordings: DB/<speaker>/<emotion>/*.wav, or DB/<speaker>/**/*.wav, become data directories with trials.
set -euo pipefail

db_root=                   # Folder with <speaker>/<emotion>/*.{wav,flac,ogg,mp3}; by folder: with <speaker>/**/*.wav.
download=false             # There is nothing to fetch; must stay false.
split=mine                 # A name for data/<split>; choose another one for other recordings.
emotion_map=               # Renames emotions, e.g. excited:happy.
directions=neutral:angry,angry:neutral # Conversions to try: source:target,...
domain_by=emotion          # What a conversion changes: emotion, speaker, or folder (speaker, and there are no folders of emotions).
speakers=                  # Speakers to use, e.g. "anna ben"; empty for all.
same_names=false           # By folder: recordings of one name say the same words.
lists=                     # Folder with train.txt, dev.txt and test.txt of utterance ids; empty for a draw.
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

if [ "$domain_by" = folder ]; then
    "${PYTHON:-python3}" -m evc2.bin.folder_manifest --db_root "$db_root" --same_names "$same_names" --manifest "$work/manifest.tsv"
else
    "${PYTHON:-python3}" local/mydata.py --db_root "$db_root" --manifest "$work/manifest.tsv"
fi
"${PYTHON:-python3}" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --out "$out" --lists "$lists" \
    --dev_fraction "$dev_fraction" --test_fraction "$test_fraction" --domain_by "${domain_by/folder/speaker}" \
    --speakers "$speakers" --emotion_map "$emotion_map" --directions "$directions" --intensity "$intensity"
