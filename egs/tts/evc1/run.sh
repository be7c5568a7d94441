#!/usr/bin/env bash
# Text to speech on any corpus of speech with its text, to start emotional models from (README.md).
#   ./run.sh --corpus ljspeech --db_root DIR         also librispeech, vctk, esd, and corpora of your own in such a layout
#   ./run.sh --corpus vctk --db_root DIR --speakers "p225 p226" --split two
#   ./run.sh --help                                  all options
set -euo pipefail

corpus=ljspeech more='' options=()
while [ $# -gt 0 ]; do
    case $1 in
        --corpus | --local_data_opts | --local-data-opts)
            [ $# -gt 1 ] || { echo "run.sh: error: $1 needs a value" >&2 && exit 1; }
            [ "$1" = --corpus ] && corpus=$2 || more=$2
            shift 2
            ;;
        --corpus=*) corpus=${1#*=} && shift ;;
        --local_data_opts=* | --local-data-opts=*) more=${1#*=} && shift ;;
        *) options+=("$1") && shift ;;
    esac
done

# There is nobody's other emotion to convert to, so there are no trials, no conversion and no table: stages 1 to 5, and 8.
./evc.sh \
    --split "${corpus}" \
    --directions none --intensity "" \
    --local_data_opts "--corpus ${corpus} ${more}" \
    --align learned \
    --train_configs "conf/train_emotts_pretrain.yaml" \
    --inference_model valid.loss.best.pth \
    --skip_eval true \
    "${options[@]}"
