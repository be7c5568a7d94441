#!/usr/bin/env bash
# Stage 1 for the judges of the toy corpus: all of it as one data directory, and a fold a speaker.
set -euo pipefail

db_root=                   # Folder for the generated audio (default downloads/toy).
download=false             # Needs no download: the corpus is generated either way.
seed=0                     # Of the small differences between sentences.
out=data/all               # Folder to write.

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

if "$download"; then
    echo "local/data.sh: the toy corpus is generated, nothing is fetched" >&2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" ../evc1/local/toy.py --db_root "${db_root:-downloads/toy}" --seed "$seed" --manifest "$work/manifest.tsv"
"${PYTHON:-python3}" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --out "$work/data" --directions neutral:angry
utils/combine_data.sh "$work/all" "$work/data/train" "$work/data/dev" "$work/data/test"
utils/subset_data_dir.sh "$work/all" 128 "$out"  # half of it: this is to see how judges are made
awk '{print $1, NR % 2 + 1}' "$out/spk2utt" > "$work/spk2fold"
mv "$work/spk2fold" "$out/spk2fold"
