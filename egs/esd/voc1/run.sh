#!/usr/bin/env bash
# Vocoders for the seq2seq conversion of ../evc1: WaveRNN on VCTK (WA1), then on ESD (WA2); README.md.
#   ./run.sh --corpus vctk --db_root DIR
#   ./run.sh --corpus esd --db_root DIR --speakers 0013 --train_config conf/tuning/train_wavernn_wa2.yaml --init_vocoder exp/<WA1>
#   ./run.sh --help                   all options
set -euo pipefail

corpus=vctk speakers='' more='' options=()
while [ $# -gt 0 ]; do
    case $1 in
        --corpus | --speakers | --local_data_opts | --local-data-opts)
            [ $# -gt 1 ] || { echo "run.sh: error: $1 needs a value" >&2 && exit 1; }
            case $1 in
                --corpus) corpus=$2 ;;
                --speakers) speakers=$2 ;;
                *) more=$2 ;;
            esac
            shift 2
            ;;
        --corpus=*) corpus=${1#*=} && shift ;;
        --speakers=*) speakers=${1#*=} && shift ;;
        --local_data_opts=* | --local-data-opts=*) more=${1#*=} && shift ;;
        *) options+=("$1") && shift ;;
    esac
done

# Speakers are part of the split's name, so that the results of others lie apart.
./voc.sh \
    --split "${corpus}${speakers:+_${speakers//[ ,]/_}}" \
    --local_data_opts "--corpus ${corpus} --speakers '${speakers}' ${more}" \
    --feats_conf conf/feats_seq2seq.yaml \
    --train_config conf/tuning/train_wavernn_wa1.yaml \
    --vocoders "world griffin_lim" \
    "${options[@]}"
