#!/usr/bin/env bash
# Flickr 8k Audio: a HiFi-GAN for the mel spectrograms of the VAE-GAN, which no ready-made vocoder is for.
#   ./run.sh --db_root DIR            all speakers, unless others are named: --local_data_opts "--domain_by speaker --speakers '4 7'"
#   ./run.sh --db_root DIR --gta ../evc1/exp/<tag>/gta --init_vocoder exp/<tag>      on mels of a trained system
#   ./run.sh --help                   all options
set -euo pipefail

./voc.sh \
    --split random \
    --local_data_opts "--domain_by speaker" \
    --feats_conf conf/feats_vaegan.yaml \
    --train_config conf/tuning/train_hifigan_vaegan.yaml \
    --vocoders "world griffin_lim" \
    "$@"
