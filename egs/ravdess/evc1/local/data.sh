#!/usr/bin/env bash
# Stage 1 for RAVDESS: the corpus, fetched on request, becomes data directories with trials.
set -euo pipefail

db_root=                   # Folder of the corpus: Actor_01 ... Actor_24, wav or flac, at any depth.
download=false             # Fetch the corpus from Zenodo into db_root (or downloads/ravdess) first.
split=speaker_dependent    # A folder of local/splits: speaker_dependent, speaker_disjoint, seen_unseen or transfer.
emotion_map=               # Renames emotions, e.g. calm:neutral.
directions=neutral:angry,angry:neutral # Conversions to try: source:target,...
intensity=strong           # Intensity of sources and references: strong, normal, or empty for any.
unlabelled_db=             # Other corpora whose utterances join the training set, emotions unknown: CORPUS:DIR[:TRANSCRIPTS],...
                           # with a CORPUS of evc2 text_corpus, e.g. librispeech:/corpora/LibriSpeech,ljspeech:/corpora/LJSpeech-1.1
unlabelled_per_speaker=0   # So many utterances of each of their speakers, drawn; 0 for all.
unlabelled_seconds=15      # Longer recordings of theirs are left out; 0 for none.
md5=                       # Checksum of the archive instead of the one that Zenodo publishes.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if "$download" && [ -z "$db_root" ]; then
    db_root=downloads/ravdess
fi
if [ ! -d "local/splits/$split" ]; then
    echo "local/data.sh: error: no split '$split'; expected one of: $(cd local/splits && echo *)" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

more=()
read -r -a dbs <<< "${unlabelled_db//,/ }"
for db in "${dbs[@]}"; do
    IFS=: read -r corpus dir transcripts <<< "$db"
    if [ -z "$dir" ]; then
        echo "local/data.sh: error: --unlabelled_db: expected CORPUS:DIR or CORPUS:DIR:TRANSCRIPTS, joined by commas" \
            "(none with blanks, commas or colons in its name), found '$db'" >&2
        exit 1
    fi
    manifest=$work/unlabelled${#more[@]}.tsv
    "${PYTHON:-python3}" -m evc2.bin.text_corpus --corpus "$corpus" --db_root "$dir" --transcripts "$transcripts" \
        --emotion other --set train --max_per_speaker "$unlabelled_per_speaker" --max_seconds "$unlabelled_seconds" \
        --manifest "$manifest"
    more+=(--train_manifest "$manifest")
done
"${PYTHON:-python3}" local/ravdess.py --db_root "$db_root" --download "$download" --md5 "$md5" --manifest "$work/manifest.tsv"
"${PYTHON:-python3}" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --lists "local/splits/$split" --out "$out" \
    --emotion_map "$emotion_map" --directions "$directions" --intensity "$intensity" "${more[@]}"
