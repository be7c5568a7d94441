#!/usr/bin/env bash
# Stage 1 for IEMOCAP: the corpus becomes data directories with trials.
set -euo pipefail

db_root=                   # Folder of the corpus: Session1 ... Session5.
download=false             # IEMOCAP has no public address; true explains how to request it.
split=speaker_dependent    # speaker_dependent (80/10/10 of each actor and emotion, drawn with a fixed seed)
                           # or speaker_disjoint (session 5 test, session 4 dev).
emotion_map=excited:happy  # Renames emotions.
directions=neutral:angry,angry:neutral # Conversions to try: source:target,...
intensity=                 # The corpus has no intensities; must stay empty.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if "$download"; then
    echo "local/data.sh: IEMOCAP cannot be downloaded; --db_root must name your copy" >&2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" local/iemocap.py --db_root "$db_root" --split "$split" --manifest "$work/manifest.tsv"
"${PYTHON:-python3}" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --out "$out" --same_words false --seed 0 \
    --emotion_map "$emotion_map" --directions "$directions" --intensity "$intensity"
