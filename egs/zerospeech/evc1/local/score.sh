#!/usr/bin/env bash
# Stage 7 for ZeroSpeech, beside the table of conversions: the submission, its bitrate, ABX, and the speaker in the units.
# What stage 1 knows of them (ABX task, list, language, metadata) lies in data/<split>/local.
set -euo pipefail

data_dir=                  # Data directory of stage 3, dump/<contract>/<split>_<set>.
trials=                    # Trials that were converted.
decode_dir=                # Folder of the conversions; gets submission/ and zerospeech.{json,md}.
split=                     # Names data/<split>.
model=                     # Model directory.
model_file=                # Its weights.
nj=1                       # Jobs.

# shellcheck source=/dev/null
. utils/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. ./cmd.sh

python=${PYTHON:-python3}
if [ ! -s "$decode_dir/wav.scp" ] || ! grep -qsx 'system: vqvae' "$model/config.yaml"; then
    echo "local/score.sh: no conversions by a system with units in $decode_dir: no submission, bitrate and ABX"
    exit 0
fi
set=${data_dir##*/"${split}"_}
given=data/$split/local test=data/$split/$set work=$decode_dir/zerospeech submission=$decode_dir/submission
recall() { [ ! -s "$given/$1" ] || cat "$given/$1"; }  # what stage 1 wrote down under this name
language=$(recall language) task=$(recall abx_task) list=$(recall bitrate_list) metadata=$(recall metadata)
units=$submission/2019/$language/test dense=$submission/2019/$language/auxiliary_embedding1

wavs=(--wavs "$decode_dir/wav.scp" --trials "$trials") named=(--trials "$trials")
twice=$(awk '{ sub(/^[^_]*_/, "", $2); print $3 "_" $2 ".wav" }' "$trials" | sort | uniq -d | head -n 1)
if [ -n "$twice" ]; then
    echo "local/score.sh: two conversions would be $twice: numbers of utterances are not unique; a submission without wavs"
    wavs=() named=()
fi

# From data/ and not from dump/: stage 2 leaves silent and clipped recordings out, a submission may lack none.
rm -rf "$submission" "$work"
make=("$python" -m evc2.bin.zs_submission make --model "$model" --model_file "$model_file" --data_dir "$test"
    --language "$language" --rows bottom --auxiliary1 dense "${wavs[@]}"
    --metadata "using_parallel_train=$(recall parallel)" ${metadata:+"$metadata"} --out "$submission" --zip true)
files=$(wc -l < "$test/utt2spk")
njobs=$((nj < files ? nj : files))
# shellcheck disable=SC2154
$decode_cmd JOB=1:"$njobs" "$decode_dir/log/units.JOB.log" "${make[@]}" --njobs "$njobs" --job JOB
"${make[@]}" --njobs "$njobs" --merge true
"$python" -m evc2.bin.zs_submission validate "$submission.zip" --languages "$language" --data_dir "$test" "${named[@]}"

# Seconds of a row: a mel frame is a hop, a code stands for four of them.
frame=$(awk '/^rate:/ { rate = $2 } /^hop:/ { hop = $2 } END { print hop / rate }' "$data_dir/feats.yaml")
code=$(awk -v frame="$frame" 'BEGIN { print 4 * frame }')
mkdir -p "$work"
# Who speaks is asked of whole sentences: in a snippet there is nothing to know but its sound.
cut -d ' ' -f 2 "$trials" | sort -u > "$work/sentences.txt"
utils/subset_data_dir.sh --utt-list "$work/sentences.txt" "$data_dir" "$work/sentences" > /dev/null
for which in "units $units $code" "dense $dense $code" "mel $data_dir/feats.scp $frame"; do
    read -r name embeddings seconds <<< "$which"
    if [ "$name" != mel ]; then
        if [ -n "$list" ]; then lengths=(--list "$list"); else lengths=(--data_dir "$test" --trials "$trials"); fi
        "$python" -m evc2.bin.zs_bitrate --embeddings "$embeddings" "${lengths[@]}" --out "$work/$name.bitrate.json"
    fi
    if [ -n "$task" ]; then
        [ "$name" = units ] && distance=cosine,levenshtein || distance=cosine
        "$python" -m evc2.bin.zs_abx --embeddings "$embeddings" --task "$task" --distance "$distance" \
            --frame_seconds "$seconds" --nj "$nj" --out "$work/$name.abx.json"
    fi
    if [ "$(wc -l < "$work/sentences/spk2utt")" -ge 2 ]; then
        "$python" -m evc2.bin.speaker_probe --embeddings "$embeddings" --data_dir "$work/sentences" --split time \
            --frame_seconds "$seconds" --out "$work/$name.speaker.json"
    fi
done
"$python" local/zerospeech_report.py --results "$work" --title "${PWD##*/egs/} $split $set" --out "$decode_dir/zerospeech"
cat "$decode_dir/zerospeech.md"
echo "submission: $submission.zip; figures: $decode_dir/zerospeech.md"
