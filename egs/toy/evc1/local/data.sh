#!/usr/bin/env bash
# Stage 1 for the toy corpus: generated here in seconds, then made into data directories with trials.
set -euo pipefail

db_root=                   # Folder for the generated audio (default downloads/toy).
download=false             # Needs no download: the corpus is generated either way.
split=toy                  # A name for data/<split>; sentences 1-9 train, 10-11 dev, 12-16 test.
emotion_map=               # Renames emotions, e.g. angry:happy.
directions=neutral:angry,angry:neutral # Conversions to try among neutral happy sad angry: source:target,...
domain_by=emotion          # What a conversion changes: emotion or speaker.
speakers=                  # Voices to use among m1 m2 f1 f2, e.g. "m1 f1"; empty for all.
intensity=                 # The corpus has no intensities; must stay empty.
seed=0                     # Of the small differences between sentences.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if "$download"; then
    echo "local/data.sh: the toy corpus is generated, nothing is fetched" >&2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" local/toy.py --db_root "${db_root:-downloads/toy}" --seed "$seed" --manifest "$work/manifest.tsv"
"${PYTHON:-python3}" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --out "$out" \
    --domain_by "$domain_by" --speakers "$speakers" --emotion_map "$emotion_map" --directions "$directions" --intensity "$intensity"
