#!/usr/bin/env bash
# Stage 1 for ZeroSpeech 2019 and 2020 ("TTS without T"): data directories with trials, and the file lists of the challenge.
set -euo pipefail

db_root=                   # Folder with english/ or surprise/, with 2019/ or 2020/2019/ in which they are, or a language's own.
download=false             # Refused: the archives are had from zerospeech.com, with a password.
toy=false                  # Generate a toy corpus in this layout into db_root (or downloads/toy) and use it.
split=english              # A name for data/<split>: english or surprise are also the language's folder.
language=                  # Folder of the language (empty: --split if that is english, english_small or surprise, else english).
emotion_map=               # Not used here: all is neutral.
directions=                # Conversions of the dev trials, source:target,... (empty: of each speaker to each voice).
intensity=                 # Not used here; must stay empty.
domain_by=emotion          # Must be speaker; all is neutral here.
speakers=                  # Training speakers to use, e.g. "S015 V001"; empty for all. The test set stays as it is.
parallel=false             # Train on train/parallel too.
transcripts=               # File of lines `<file><TAB>text`, for CER and WER.
abx_task=                  # ABX task, .abx or .item (empty: ABXTasks/ beside the language, where it is).
bitrate_list=              # Lines `<file>.txt <seconds>`, for which the bitrate is measured (empty: the trials' sentences).
metadata=                  # YAML with author, affiliation ... of a submission.
dev_fraction=0.05          # Share of a training speaker's files that are for dev, at least one.
dev_least=10               # Speakers with fewer files give none to dev.
seed=0                     # Of that draw.
out=                       # Folder to write (default data/<split>).

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

out=${out:-data/$split}
if [ -z "$language" ]; then
    [[ $split =~ ^(english_small|surprise)$ ]] && language=$split || language=english
fi
if [ "$domain_by" != speaker ]; then
    echo "local/data.sh: error: --domain_by: expected speaker, found '$domain_by' (all is neutral here)" >&2
    exit 1
fi
python=${PYTHON:-python3}
if "$toy"; then
    db_root=${db_root:-downloads/toy} language=english
    "$python" local/toy_zerospeech.py --out "$db_root"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" local/zerospeech.py --db_root "$db_root" --language "$language" --download "$download" --speakers "$speakers" \
    --parallel "$parallel" --transcripts "$transcripts" --abx_task "$abx_task" --bitrate_list "$bitrate_list" \
    --metadata "$metadata" --out "$work"
to=(--directions "$directions")
[ -n "$directions" ] || to=(--targets "$(cat "$work/voices")")
"$python" -m evc2.bin.make_data --manifest "$work/manifest.tsv" --trials "$work/trials" --out "$out" --seed "$seed" \
    --dev_fraction "$dev_fraction" --dev_least "$dev_least" --emotion_map "$emotion_map" --domain_by speaker "${to[@]}" \
    --intensity "$intensity"
mv "$work/local" "$out/local"
