#!/usr/bin/env bash
# RAVDESS: vocoders, trained on some actors and compared on others.
#   ./run.sh --db_root DIR --skip_train true      the table of the ready-made ones
#   ./run.sh --db_root DIR --init_vocoder hifigan_universal --train_config conf/tuning/train_hifigan_finetune.yaml
#   ./run.sh --help                               all options
set -euo pipefail

./voc.sh \
    --split speaker_disjoint \
    --local_data_opts "--intensity ''" \
    --train_config conf/train_hifigan.yaml \
    --vocoders "world griffin_lim hifigan_universal hifigan_ljspeech" \
    "$@"
