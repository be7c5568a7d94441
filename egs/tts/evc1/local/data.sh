#!/usr/bin/env bash
# Stage 1 for corpora of speech with its text: LJSpeech, LibriSpeech, VCTK, ESD, or others in such a layout.
set -euo pipefail

db_root=                   # Folder of the corpus, or one around it.
corpus=ljspeech            # Its layout: ljspeech, librispeech, vctk or esd.
download=false             # Nothing is fetched here; must stay false.
split=ljspeech             # A name for data/<split>; choose another one with other speakers or limits.
emotion_map=               # Renames emotions of ESD, e.g. surprised:happy.
directions=none            # Conversions to try, of ESD, e.g. neutral:angry; none: no trials.
intensity=                 # Not used here; must stay empty.
domain_by=emotion          # What a conversion changes: emotion or speaker.
speakers=                  # Speakers to use, e.g. "p225 p226"; empty for all.
transcripts=               # Further transcripts: name<TAB>text, or name|raw|normalised; a file here or in db_root.
emotion=                   # Of all utterances; empty: other (not labelled), ESD's own for ESD.
max_per_speaker=0          # So many utterances of each speaker, drawn; 0 for all.
max_seconds=15             # Longer recordings are left out; 0 for none.
dev_fraction=0.02          # Of each speaker, for choosing the best model; at least one of those with three or more.
test_fraction=0.02         # Of each speaker, not trained on.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if "$download"; then
    echo "local/data.sh: error: nothing is fetched here; README.md says where the corpora are, give yours with --db_root" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}

"$python" -m evc2.bin.text_corpus --corpus "$corpus" --db_root "$db_root" --transcripts "$transcripts" --emotion "$emotion" \
    --speakers "$speakers" --max_per_speaker "$max_per_speaker" --max_seconds "$max_seconds" --manifest "$work/manifest.tsv"
# Utterances are drawn one by one: most sentences of VCTK are read by a few speakers each, never by the same ones, so a draw of
# sentences would leave nothing but training data.
"$python" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --out "$out" --same_words false \
    --dev_fraction "$dev_fraction" --test_fraction "$test_fraction" --domain_by "$domain_by" \
    --emotion_map "$emotion_map" --directions "$directions" --intensity "$intensity"
