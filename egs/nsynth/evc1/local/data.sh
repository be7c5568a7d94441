#!/usr/bin/env bash
# Stage 1 for NSynth, or for any folder with a folder for each instrument: data directories with trials.
set -euo pipefail

db_root=                   # Folder with nsynth-train, nsynth-valid, nsynth-test; by folder: one with <instrument>/**/*.wav.
download=false             # Fetch the parts into db_root (or downloads/nsynth) first.
toy=false                  # Generate toy instruments in NSynth's layout into db_root (or downloads/toy) and use them.
split=notes                # A name for data/<split>; give another one with other instruments.
emotion_map=               # Not used here: all is neutral.
directions=                # Conversions to try, e.g. guitar:flute; empty for each instrument to each other.
intensity=                 # Not used here; must stay empty.
domain_by=emotion          # speaker, or folder for recordings in a folder for each instrument; all is neutral here.
speakers=                  # Families of instruments to use, e.g. "guitar flute"; empty for all.
parts="train valid test"   # Of the corpus. All three keep its own division; of fewer, notes are drawn by pitch and velocity.
source=acoustic            # How an instrument makes its sound: acoustic, electronic, synthetic; empty for any.
pitches=21:108             # Lowest and highest note (MIDI numbers).
max_notes=0                # Of each family and set, spread over instruments, pitches and velocities; 0 for all.
same_names=true            # By folder: recordings of one name are the same note.
lists=                     # By folder: folder with train.txt, dev.txt and test.txt of ids; empty for a draw.
dev_fraction=0.1           # Where notes are drawn: of each family.
test_fraction=0.1          # Where notes are drawn: of each family.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if "$download" && [ -z "$db_root" ]; then
    db_root=downloads/nsynth
fi
python=${PYTHON:-python3}
if "$toy"; then
    db_root=${db_root:-downloads/toy}
    "$python" local/toy_instruments.py --out "$db_root"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $domain_by in
    speaker)
        "$python" local/nsynth.py --db_root "$db_root" --download "$download" --parts "$parts" --families "$speakers" \
            --source "$source" --pitches "$pitches" --max_notes "$max_notes" --manifest "$work/manifest.tsv"
        ;;
    folder)
        if "$download"; then
            echo "local/data.sh: error: there is nothing to fetch with --domain_by folder" >&2
            exit 1
        fi
        "$python" -m evc2.bin.folder_manifest --db_root "$db_root" --same_names "$same_names" --manifest "$work/manifest.tsv"
        ;;
    *)
        echo "local/data.sh: error: --domain_by: expected speaker or folder, found '$domain_by' (all is neutral here)" >&2
        exit 1
        ;;
esac
"$python" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --out "$out" --lists "$lists" \
    --dev_fraction "$dev_fraction" --test_fraction "$test_fraction" --emotion_map "$emotion_map" \
    --domain_by speaker --speakers "$speakers" --directions "$directions" --intensity "$intensity"
