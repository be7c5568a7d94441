#!/usr/bin/env bash
# Emotion judges: classifiers trained on real speech and on vocoded copies of it, tested on speakers they have not heard.
set -euo pipefail

# What to run
stage=1                 # First stage: 1 data, 2 copies by vocoders, 3 features, 4 folds, 5 training, 6 judges.
stop_stage=6            # Last stage.
force=false             # Redo stages that are up to date; training starts anew.
python=python3          # Interpreter of all commands.
# Where
expdir=exp              # Folder for models and results.
dumpdir=dump            # Folder for audio and features.
ser_tag=                # Name of the experiment (empty: from training configuration and its arguments).
# How many
nj=$(env -u OMP_NUM_THREADS nproc)        # Jobs for copies, features and the machines of the SVM judge.
train_nj=$(env -u OMP_NUM_THREADS nproc)  # Trainings at a time, one thread each.
ngpu=0                  # GPUs of each training.
# Corpus (local/data.sh leaves data/all with spk2fold)
db_root=                # Folder of the corpus.
download=false          # Fetch the corpus if it has a public address.
local_data_opts=        # More options for local/data.sh.
# Audio and features
copies="world hifigan_universal" # Vocoders whose copies of the speech are trained and tested on too (empty: natural speech only).
copy_conf=conf/feats_hifigan.yaml # Rate of the natural speech that is copied; features of copies by neural vocoders.
world_conf=conf/feats_world.yaml  # Features of copies by WORLD.
feats_conf=conf/feats_ser.yaml    # Features of the neural judge.
# Training
train_config=conf/train_ser.yaml  # Configuration of the neural judge.
train_args=             # More options for all trainings, e.g. "--max_epoch 20".
seeds="0 1 2"           # Trainings a fold; the judge averages them.
folds=                  # Folds to train (empty: all of data/all/spk2fold).
develop=false           # true: leave the next fold out of training as well and validate on it. For choosing options.
inference_model=latest.pth        # Weights of a training that the judge takes.
svm=true                # Also train the judge of eGeMAPS and SVM.

help_message="usage: $0 [--option value ...]      options may also come from a file of lines name=value: --config FILE"

# shellcheck source=utils/stages.sh
. utils/stages.sh
[ -x local/data.sh ] || die "expected local/data.sh in ${PWD}; run run.sh in a recipe's folder, egs/<corpus>/ser1"
# shellcheck source=utils/parse_options.sh
. utils/parse_options.sh
[ $# -eq 0 ] || die "expected only options, found '$1'; see $0 --help"
# shellcheck source=egs/TEMPLATE/evc1/path.sh
. ./path.sh
# shellcheck source=egs/TEMPLATE/evc1/cmd.sh
. ./cmd.sh
export PYTHON=${python}  # for the scripts of utils/

require_numbers stage stop_stage nj train_nj
read -r -a vocoders <<< "${copies}"
read -r -a seed_list <<< "${seeds}"
config_name=${train_config#conf/}
config_name=${config_name%.yaml}
if [ -z "${ser_tag}" ]; then
    ser_tag=${config_name//\//_}$(tr -s ' /:,=' '_' <<< "${train_args:+_${train_args//--/}}")
    ! "${develop}" || ser_tag+=_develop
fi
exp=${expdir}/${ser_tag}
[ -r "${feats_conf}" ] || die "--feats_conf: cannot read ${feats_conf}; found $(echo conf/feats_*.yaml)"
dump=${dumpdir}/$("${python}" -m evc2.bin.show_contract --contract "${feats_conf}" --dirname true)
spk2fold=data/all/spk2fold

watch_signals
if begins 1 "data (local/data.sh)"; then
    words local_data_opts "${local_data_opts}"
    options=(--download "${download}" "${extra[@]}")
    if todo data/all/.stage1 --options="${db_root} ${options[*]}" --tree local ${db_root:+"${db_root}"}; then
        job local/data.sh --db_root "${db_root}" "${options[@]}" --out data/all
        utils/validate_data_dir.sh --no-text --no-feats data/all --need utt2emo spk2fold
        finished data/all/.stage1 data/all
    fi
fi

if begins 2 "natural speech and its copies: ${copies:-none}"; then
    need data/all/.stage1 1
    natural=${dumpdir}/natural audio=${dumpdir}/audio
    if todo "${audio}/.stage2" --inputs data/all "${copy_conf}" "${world_conf}" --scp data/all/wav.scp --options="${copies}"; then
        in_jobs "${train_cmd}" "${nj}" data/all/utt2spk "${natural}/log/format_wav.JOB.log" \
            "${python}" -m evc2.bin.format_wav --data_dir data/all --contract "${copy_conf}" --out "${natural}" --trim true
        utils/copy_data_dir.sh --set=utt2vocoder=natural "${natural}" "${audio}/natural"
        for vocoder in "${vocoders[@]}"; do
            contract=${copy_conf}
            [ "${vocoder}" != world ] || contract=${world_conf}
            in_jobs "${train_cmd}" "${nj}" "${natural}/utt2spk" "${dumpdir}/${vocoder}/log/vocode.JOB.log" \
                "${python}" -m evc2.bin.vocode --data_dir "${natural}" --copy_synthesis true --vocoder "${vocoder}" --contract "${contract}" \
                --out "${dumpdir}/${vocoder}"
            utils/copy_data_dir.sh --utt_suffix="-${vocoder}" --wav_scp "${dumpdir}/${vocoder}/wav.scp" \
                --set="utt2vocoder=${vocoder}" "${natural}" "${audio}/${vocoder}"
        done
        utils/combine_data.sh "${audio}" "${audio}/natural" "${vocoders[@]/#/${audio}/}"
        finished "${audio}/.stage2" "${audio}/wav.scp" "${audio}/utt2vocoder"
    fi
fi

if begins 3 "features of ${feats_conf} in ${dump}"; then
    need "${dumpdir}/audio/.stage2" 2
    if todo "${dump}/all/.stage3" --inputs "${dumpdir}/audio/utt2vocoder" "${feats_conf}" --scp "${dumpdir}/audio/wav.scp"; then
        in_jobs "${train_cmd}" "${nj}" "${dumpdir}/audio/utt2spk" "${dump}/all/log/format_wav.JOB.log" \
            "${python}" -m evc2.bin.format_wav --data_dir "${dumpdir}/audio" --contract "${feats_conf}" --out "${dump}/all" --trim false
        in_jobs "${train_cmd}" "${nj}" "${dump}/all/utt2spk" "${dump}/all/log/extract_feats.JOB.log" \
            "${python}" -m evc2.bin.extract_feats --data_dir "${dump}/all" --contract "${feats_conf}" --out "${dump}/all"
        finished "${dump}/all/.stage3" "${dump}/all/feats.scp"
    fi
fi

all_folds=()
[ ! -r "${spk2fold}" ] || mapfile -t all_folds < <(cut -d ' ' -f 2 "${spk2fold}" | sort -u)
read -r -a chosen <<< "${folds:-${all_folds[*]}}"
after() {  # the fold after this one, in a circle
    local k
    for k in "${!all_folds[@]}"; do
        [ "${all_folds[k]}" != "$1" ] || echo "${all_folds[(k + 1) % ${#all_folds[@]}]}"
    done
}
if begins 4 "folds: ${chosen[*]}"; then
    need "${dump}/all/.stage3" 3
    for fold in "${chosen[@]}"; do
        part=${dump}/fold${fold} other=$(after "${fold}")
        [ -n "${other}" ] || die "--folds: no fold '${fold}' in ${spk2fold}; there are ${all_folds[*]}"
        todo "${part}/.stage4" --inputs "${spk2fold}" "${dump}/all/feats.scp" --options="${develop}" || continue
        mkdir -p "${part}"
        # The fold itself is only for testing. Unless options are being chosen, the next one is trained on as well, and
        # what validation then shows is no measure of anything: nothing is chosen by it.
        awk -v f="${fold}" -v o="${other}" -v d="${develop}" '$2 != f && !(d == "true" && $2 == o) {print $1}' "${spk2fold}" > "${part}/train.spk"
        awk -v o="${other}" '$2 == o {print $1}' "${spk2fold}" > "${part}/valid.spk"
        # Validation is only looked at: natural speech is enough, and costs less.
        awk 'NR == FNR {spk[$1]; next} $2 in spk {print $1}' "${part}/valid.spk" "${dump}/all/utt2spk" \
            | join - "${dump}/all/utt2vocoder" | awk '$2 == "natural" {print $1}' > "${part}/valid.utt"
        for set in train valid; do
            list=(--spk_list "${part}/train.spk")
            [ "${set}" = train ] || list=(--utt_list "${part}/valid.utt")
            utils/subset_data_dir.sh "${list[@]}" "${dump}/all" "${part}/${set}"
            cp "${dump}/all/feats.yaml" "${part}/${set}/feats.yaml"
        done
        finished "${part}/.stage4" "${part}/train" "${part}/valid"
    done
fi

if begins 5 "training in ${exp}: folds ${chosen[*]}, seeds ${seeds}"; then
    words train_args "${train_args}"
    [ -r "${train_config}" ] || die "--train_config: cannot read ${train_config}"
    mkdir -p "${exp}/log"
    : > "${exp}/log/jobs"
    for seed in "${seed_list[@]}"; do
        for fold in "${chosen[@]}"; do
            need "${dump}/fold${fold}/.stage4" 4
            echo "${fold} ${seed}" >> "${exp}/log/jobs"
        done
    done
    "${force}" && resume=false || resume=true
    step=()  # of which SLURM tells at once that the job has to make room
    [ "${cmd_backend}" = local ] || step=(srun --export=ALL)
    # Job N takes fold and seed from line N of its list; the words in quotes are for the job's own shell.
    # shellcheck disable=SC2016
    train=(bash -c 'set -e
        read -r fold seed < <(sed -n "$1p" "$2")
        exec "${@:5}" --output_dir "$3/fold${fold}.seed${seed}" --train_dir "$4/fold${fold}/train" --valid_dir "$4/fold${fold}/valid" --seed "${seed}"'
        train_one JOB "${exp}/log/jobs" "${exp}" "${dump}" "${python}" -m evc2.bin.ser_train --config "${train_config}"
        --feats_contract "${feats_conf}" --resume "${resume}" --ngpu "${ngpu}" "${extra[@]}")
    if todo "${exp}/.stage5" --inputs "${train_config}" "${exp}/log/jobs" --scp "${dump}/all/feats.scp" --options="${train_args}"; then
        # shellcheck disable=SC2086
        job ${cuda_cmd} --gpu "${ngpu}" --max-jobs-run "${train_nj}" JOB=1:"$(lines "${exp}/log/jobs")" "${exp}/log/train.JOB.log" "${step[@]}" "${train[@]}"
        finished "${exp}/.stage5" "${exp}/log/jobs"
    fi
fi

if begins 6 "judges in ${exp}"; then
    need "${exp}/.stage5" 5
    if todo "${exp}/neural/.stage6" --inputs "${exp}/.stage5" "${spk2fold}"; then
        # shellcheck disable=SC2086
        job ${train_cmd} "${exp}/log/ser_judge.log" "${python}" -m evc2.bin.ser_judge --exp "${exp}" --model_file "${inference_model}" \
            --data_dir "${dump}/all" --spk2fold "${spk2fold}" --out "${exp}/neural" --data_name "${PWD##*/egs/}"
        finished "${exp}/neural/.stage6" "${exp}/neural/judge.json"
    fi
    sed '/^## /,$d' "${exp}/neural/RESULTS.md"
    if "${svm}" && todo "${expdir}/svm/.stage6" --inputs "${spk2fold}" --scp "${dumpdir}/audio/wav.scp"; then
        # shellcheck disable=SC2086
        job ${train_cmd} --num_threads "${nj}" "${expdir}/svm/log/svm_judge.log" "${python}" -m evc2.bin.svm_judge --nj "${nj}" \
            --data_dir "${dumpdir}/audio" --spk2fold "${spk2fold}" --out "${expdir}/svm"
        finished "${expdir}/svm/.stage6" "${expdir}/svm/judge.json"
    fi
    ! "${svm}" || sed '/^## /,$d' "${expdir}/svm/RESULTS.md"
    log "  judges: --judge ${exp}/neural$(! "${svm}" || echo ",${expdir}/svm")"
fi
log "done"
