#!/usr/bin/env bash
# ESD: emotional voice conversion from sequence to sequence, in two stages of training (README.md).
#   ./run.sh --pretrain_db vctk:DIR,ljspeech:DIR   stage I alone: styles of many speakers, from speech with its text
#   ./run.sh --db_root DIR                         stage II: emotions of speaker 0013, from stage I's model if there is one
#   ./run.sh --pretrain_db vctk:DIR --db_root DIR --speakers "0011 0013"       both; stage II with two speakers
#   ./run.sh --db_root DIR --test_speakers "0019 0020"                         the others train, these are converted
#   ./run.sh --help                                these, and all options of evc.sh, which go on to it
# Of stage I alone: --pretrain_config FILE, its configuration; --pretrain_opts "--nj 2 ...", its options of evc.sh
set -euo pipefail
# shellcheck source=/dev/null
. utils/stages.sh
declare -A own=([pretrain_db]='' [pretrain_config]='' [pretrain_opts]='' [test_speakers]='' [local_data_opts]='')
options=() extra=()
while [ $# -gt 0 ]; do
    word=$1 name=${1%%=*} && name=${name//-/_} && name=${name#__} && shift
    if [[ ${word} != --* || -z ${own[${name}]+set} ]]; then options+=("${word}") && continue; fi
    if [[ ${word} == *=* ]]; then own[${name}]=${word#*=} && continue; fi
    [ $# -gt 0 ] || die "${word} needs a value"
    own[${name}]=$1 && shift
done
value() { value_of "$1" "$2" "${options[@]}"; }
words pretrain_opts "${own[pretrain_opts]}"
case " ${options[*]} " in *" --help "* | *" -h "*) help=true && (header_help --help) ;; *) help=false ;; esac
db=$(value db_root "") test=${own[test_speakers]} more=${own[local_data_opts]}
speakers=$(value speakers "$([ -n "${test}" ] || echo 0013)")
config=$(value train_config "$(value train_configs conf/train_seq2seq.yaml)") && first=${config/train_seq2seq/train_seq2seq_pretrain}
[[ ${first} == *seq2seq_pretrain* && -e ${first} ]] || first=conf/train_seq2seq_pretrain.yaml
first=${own[pretrain_config]:-${first}} && model=$(value expdir exp)/pretrain/$(phase_of "${first}")/valid.loss.best.pth
if [ -n "${own[pretrain_db]}" ] && ! "${help}"; then
    [ -z "${db}" ] || [ -d "${db}" ] || die "--db_root: expected the folder of ESD, found no folder ${db}"
    ./evc.sh "${options[@]}" --train_args "" --trials_of "" --pretrained_model "" --domain_by emotion "${extra[@]}" --directions none \
        --split pretrain --evc_tag pretrain --evc_exp "" --train_config "${first}" --inference_model "${model##*/}" --db_root "" --strength false \
        --speakers "" --local_data_opts "${more} --pretrain_db ${own[pretrain_db]}" --test_sets test --skip_eval true --skip_packing true
    [ -n "${db}" ] || { log "stage I is done; ./run.sh --db_root DIR goes on with ESD" && exit; }
fi
if "${help}" || [[ ${config} != *seq2seq* || $(value pretrained_model none) != none ]]; then model=''; fi
[ -z "${model}" ] || [ -e "${model}" ] || { log "no ${model} of stage I (see --pretrain_db): training starts from nothing" && model=''; }
./evc.sh --split "$(tr -s ' ,' '_' <<< "${speakers:-all}${test:+ to ${test}}")" --speakers "${speakers}" --intensity "" \
    --directions "neutral:angry,neutral:happy,neutral:sad,neutral:surprised" --train_configs conf/train_seq2seq.yaml \
    --pretrained_model "${model}" "${options[@]}" --local_data_opts "${more}${test:+ --test_speakers \"${test}\"}"
