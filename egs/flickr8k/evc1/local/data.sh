#!/usr/bin/env bash
# Stage 1 for Flickr 8k Audio, or for any folder with a folder for each speaker: data directories with trials.
set -euo pipefail

db_root=                   # Folder with wav2spk.txt and wavs/; by folder: one with <speaker>/**/*.wav.
download=false             # Fetch the corpus (4.2 GB) into db_root (or downloads/flickr8k) first.
split=random               # A name for data/<split>; give another one with other speakers.
emotion_map=               # Not used here: all is neutral.
directions=                # Conversions to try, e.g. 4:7,7:4; empty for each speaker to each other.
intensity=                 # Not used here; must stay empty.
domain_by=emotion          # speaker, or folder for recordings in a folder for each speaker; all is neutral here.
speakers=                  # Speakers to use, e.g. "4 7"; empty for all.
captions=                  # Flickr8k.token.txt of the text corpus: gives the transcripts.
md5=                       # Checksum of the archive instead of the known one, or none.
same_names=false           # By folder: recordings of one name say the same words.
lists=                     # Folder with train.txt, dev.txt and test.txt of utterance ids; empty for a draw.
dev_fraction=0.1           # Of each speaker.
test_fraction=0.1          # Of each speaker.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if "$download" && [ -z "$db_root" ]; then
    db_root=downloads/flickr8k
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}

case $domain_by in
    speaker)
        # Each utterance is drawn alone: then the draw depends neither on the captions nor on who else is used.
        same_words=false
        "$python" local/flickr8k.py --db_root "$db_root" --download "$download" --md5 "$md5" --captions "$captions" \
            --speakers "$speakers" --manifest "$work/manifest.tsv"
        ;;
    folder)
        same_words=true
        if "$download" || [ -n "$captions$md5" ]; then
            echo "local/data.sh: error: --download, --captions and --md5 are for Flickr 8k Audio, not for --domain_by folder" >&2
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
    --dev_fraction "$dev_fraction" --test_fraction "$test_fraction" --same_words "$same_words" --emotion_map "$emotion_map" \
    --domain_by speaker --speakers "$speakers" --directions "$directions" --intensity "$intensity"
