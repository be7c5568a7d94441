#!/usr/bin/env bash
# Stage 1 for the judges of RAVDESS: all recordings as one data directory, and the folds of actors.
set -euo pipefail

db_root=                   # Folder of the corpus: Actor_01 ... Actor_24, wav or flac, at any depth.
download=false             # Fetch the corpus from Zenodo into db_root (or downloads/ravdess) first.
md5=                       # Checksum of the archive instead of the one that Zenodo publishes.
out=data/all               # Folder to write.

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

if "$download" && [ -z "$db_root" ]; then
    db_root=downloads/ravdess
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" ../evc1/local/ravdess.py --db_root "$db_root" --download "$download" --md5 "$md5" --manifest "$work/manifest.tsv"
# The recipes' cut into sets is undone: here folds of actors take its place.
"${PYTHON:-python3}" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --lists ../evc1/local/splits/speaker_disjoint \
    --out "$work/data" --directions neutral:angry --intensity strong
utils/combine_data.sh "$out" "$work/data/train" "$work/data/dev" "$work/data/test"
# Four actors a fold, two women and two men (odd numbers are men); actors 21 to 24, where they are, make the sixth.
awk '{n = substr($1, length($1) - 1) + 0; print $1, int((n + 3) / 4)}' "$out/spk2utt" > "$work/spk2fold"
mv "$work/spk2fold" "$out/spk2fold"
