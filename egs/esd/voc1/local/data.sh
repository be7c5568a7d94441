#!/usr/bin/env bash
# Stage 1 for the vocoders: VCTK, ESD, or another corpus of speech with its text, divided within each speaker.
set -euo pipefail

db_root=                   # Folder of the corpus.
corpus=vctk                # Its layout: vctk, esd, ljspeech or librispeech.
download=false             # Nothing is fetched here; must stay false.
split=vctk                 # A name for data/<split>; choose another one with other speakers or limits.
speakers=                  # Speakers to use, e.g. "0013 0014"; empty for all.
transcripts=               # Further transcripts: name<TAB>text, or name|raw|normalised; a file here or in db_root.
sets_of=                   # Folder with data directories train, dev and test whose division is to be kept, e.g. ../evc1/data/0013;
                           # empty: ESD's own sets for ESD, a draw for others.
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
    echo "local/data.sh: error: nothing is fetched here; ../../tts/evc1/README.md says where the corpora are, give yours with --db_root" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}

lists=
if [ -n "$sets_of" ]; then
    lists=$work/lists
    mkdir "$lists"
    for set in train dev test; do
        if [ ! -r "$sets_of/$set/utt2spk" ]; then
            echo "local/data.sh: error: --sets_of: expected $sets_of/$set/utt2spk, which stage 1 of that recipe makes; it is not there" >&2
            exit 1
        fi
        cut -d ' ' -f 1 "$sets_of/$set/utt2spk" > "$lists/$set.txt"
    done
fi
"$python" -m evc2.bin.text_corpus --corpus "$corpus" --db_root "$db_root" --transcripts "$transcripts" --speakers "$speakers" \
    --max_per_speaker "$max_per_speaker" --max_seconds "$max_seconds" --manifest "$work/manifest.tsv"
# A vocoder copies each utterance: there is nothing to convert, and the same words in training do no harm.
"$python" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --out "$out" --lists "$lists" --same_words false \
    --dev_fraction "$dev_fraction" --test_fraction "$test_fraction" --directions none
