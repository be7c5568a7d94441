#!/usr/bin/env bash
# Stage 1: ESD becomes data directories with trials; or, with --pretrain_db, speech with text of many speakers does, without trials.
set -euo pipefail

db_root=                   # Folder of ESD: 0001 ... 0020 with their wav files and texts, or one around it.
download=false             # ESD is given on request alone; must stay false.
split=0013                 # A name for data/<split>; choose another one with other speakers.
emotion_map=               # Renames emotions, e.g. surprised:happy.
directions=neutral:angry,neutral:happy,neutral:sad,neutral:surprised # Conversions to try: source:target,...; none: no trials.
intensity=                 # Not used here; must stay empty.
domain_by=emotion          # What a conversion changes: emotion or speaker.
speakers=                  # Speakers to use, e.g. "0011 0013"; empty for all of English (0011 ... 0020).
test_speakers=             # Speakers that are not trained on, e.g. "0019 0020": they alone are the test; that of the others
                           # is the set test_known.
transcripts=               # Further transcripts: name<TAB>text; a file here or in db_root.
pretrain_db=               # Instead of ESD: CORPUS:DIR[:TRANSCRIPTS],... with a CORPUS of evc2 text_corpus (none: vctk), e.g.
                           # vctk:/corpora/VCTK-Corpus,ljspeech:/corpora/LJSpeech-1.1
pretrain_speakers=0        # Of all their speakers the first so many by name, e.g. 99 as published; 0 for all.
pretrain_per_speaker=0     # So many utterances of each speaker, drawn; 0 for all.
pretrain_seconds=9.98      # Longer recordings are left out: those of 800 frames of 12.5 ms and more; 0 for none.
pretrain_test=20           # Test utterances of each speaker, drawn.
pretrain_dev=10            # Dev utterances of each speaker.
pretrain_least=100         # Speakers with fewer utterances give a tenth each, at least one; with less than three, none.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if "$download"; then
    echo "local/data.sh: error: ESD is given on request: fill in the form at https://hltsingapore.github.io/ESD, then give its" \
        "folder with --db_root" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}

if [ -z "$pretrain_db" ]; then
    "$python" local/esd.py --db_root "$db_root" --transcripts "$transcripts" --speakers "$speakers" \
        --test_speakers "$test_speakers" --manifest "$work/manifest.tsv" --lists "$work/lists"
    "$python" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --lists "$work/lists" --out "$out" \
        --domain_by "$domain_by" --emotion_map "$emotion_map" --directions "$directions" --intensity "$intensity"
    exit
fi

read -r -a dbs <<< "${pretrain_db//,/ }"
for i in "${!dbs[@]}"; do
    IFS=: read -r corpus dir texts <<< "${dbs[i]}"
    [ -n "$dir" ] || [[ ${dbs[i]} == *:* ]] || dir=$corpus corpus=vctk
    if [ -z "$dir" ]; then
        echo "local/data.sh: error: --pretrain_db: expected DIR, CORPUS:DIR or CORPUS:DIR:TRANSCRIPTS, joined by commas" \
            "(none with blanks, commas or colons in its name), found '${dbs[i]}'" >&2
        exit 1
    fi
    "$python" -m evc2.bin.text_corpus --corpus "$corpus" --db_root "$dir" --transcripts "$texts" --emotion other \
        --max_per_speaker "$pretrain_per_speaker" --max_seconds "$pretrain_seconds" --manifest "$work/$i.tsv"
done
awk 'NR == 1 || FNR > 1' "$work"/*.tsv > "$work/manifest"
# Styles are the speakers here, and nobody's emotion is known: there is nothing to convert to, so there are no trials.
"$python" -m evc2.bin.make_data --manifest "$work/manifest" --out "$out" --directions none \
    --max_speakers "$pretrain_speakers" --test_count "$pretrain_test" --dev_count "$pretrain_dev" --count_least "$pretrain_least"
