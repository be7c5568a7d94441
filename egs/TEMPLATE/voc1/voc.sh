#!/usr/bin/env bash
# Neural vocoders: training or fine-tuning, and a table of copy-synthesis with ready-made vocoders beside it.
set -euo pipefail

# What to run
stage=1                 # First stage: 1 data, 2 audio, 3 features, 4 trials, 5 training, 6 vocoding, 7 evaluation.
stop_stage=7            # Last stage.
force=false             # Redo stages that are up to date; training starts anew.
skip_train=false        # Only vocode and evaluate: the vocoders of --vocoders (stage 5 is left out).
python=python3          # Interpreter of all commands.
# Where
expdir=exp              # Folder for models and results.
dumpdir=dump            # Folder for audio and features.
voc_tag=                # Name of the experiment (empty: from training configuration, its arguments and the split).
# How many
nj=$(env -u OMP_NUM_THREADS nproc)  # Jobs for audio, features, vocoding and evaluation.
ngpu=auto               # GPUs for training: a number, or auto (1 if this machine has one, else 0).
num_nodes=1             # Nodes for training; more than one needs cmd_backend=slurm.
master_port=            # Port where several nodes meet (empty: from the experiment's folder).
train_threads=          # Threads of the training process (empty: all cores).
# Corpus (local/data.sh)
db_root=                # Folder of the corpus.
download=false          # Fetch the corpus if it has a public address.
split=speaker_disjoint  # How the corpus is divided; names data/<split>.
local_data_opts=        # More options for local/data.sh.
test_sets="test"        # Sets to vocode and evaluate; others than test need a data directory data/<split>/<set>.
max_test=60             # Utterances of a test set, spread over its list (0: all).
# Audio and features
feats_conf=conf/feats_hifigan.yaml  # Feature contract of the vocoder.
world_conf=conf/feats_world.yaml    # Of the vocoder WORLD in the table.
trim=true               # Cut the silence before and after an utterance.
min_seconds=0.1         # Shorter utterances are left out.
max_bad=0.05            # A larger share of unusable files stops stage 2.
# Training
train_config=conf/train_hifigan.yaml # Configuration.
train_args=             # More options, e.g. "--max_epoch 20 --seed 1".
init_vocoder=           # Vocoder whose generator is fine-tuned: a name or path (empty: from nothing).
gta=                    # Folder with generated mels <gta>/train and <gta>/dev (evc.sh --gta true) for fine-tuning.
inference_model=        # Model file of the training to vocode with (empty: the best by validation).
# Table
vocoders="world griffin_lim hifigan_universal" # Vocoders beside the trained one: names or paths.
asr_model=              # Whisper model for CER and WER: folder or name on the hub (empty: the command's default).
metrics=mel_l1,mr_stft,pesq_wb,dnsmos_ovrl,cer,spk_sim # Columns; pesq_wb where its package is installed.
eval_args=              # More options for evc2.bin.evaluate.

help_message="usage: $0 [--option value ...]      options may also come from a file of lines name=value: --config FILE"

# shellcheck source=utils/stages.sh
. utils/stages.sh
[ -x local/data.sh ] || die "expected local/data.sh in ${PWD}; run run.sh in a recipe's folder, egs/<corpus>/voc1"
# shellcheck source=utils/parse_options.sh
. utils/parse_options.sh
[ $# -eq 0 ] || die "expected only options, found '$1'; see $0 --help"
# shellcheck source=egs/TEMPLATE/evc1/path.sh
. ./path.sh
# shellcheck source=egs/TEMPLATE/evc1/cmd.sh
. ./cmd.sh
export PYTHON=${python}  # for the scripts of utils/

require_numbers stage stop_stage nj num_nodes
check_launch
read -r -a tests <<< "${test_sets}"
read -r -a others <<< "${vocoders}"
mapfile -t sets < <(printf '%s\n' train dev "${tests[@]}" | awk '!seen[$0]++')
! "${skip_train}" || sets=("${tests[@]}")
config_name=${train_config#conf/}
config_name=${config_name%.yaml}
voc_tag=${voc_tag:-${config_name//\//_}_${split}$(tr -s ' /:,=' '_' <<< "${train_args:+_${train_args//--/}}${init_vocoder:+_from_${init_vocoder}}")}
exp=${expdir}/${voc_tag}
! "${skip_train}" || exp=${expdir}/ready_made_${split}
[ -r "${feats_conf}" ] || die "--feats_conf: cannot read ${feats_conf}; found $(echo conf/feats_*.yaml)"
dump=${dumpdir}/$("${python}" -m evc2.bin.show_contract --contract "${feats_conf}" --dirname true)/${split}

watch_signals
if begins 1 "data (local/data.sh)"; then
    words local_data_opts "${local_data_opts}"
    options=(--download "${download}" --split "${split}" "${extra[@]}")
    if todo "data/${split}/.stage1" --options="${db_root} ${options[*]}" --tree local ${db_root:+"${db_root}"}; then
        job local/data.sh --db_root "${db_root}" "${options[@]}" --out "data/${split}"
        finished "data/${split}/.stage1" "data/${split}/train" "data/${split}/dev" "data/${split}/test"
    fi
fi

if begins 2 "audio at the rate of ${feats_conf}"; then
    for set in "${sets[@]}"; do
        data=data/${split}/${set} out=${dump}_${set}
        need "${data}/wav.scp" 1
        options=(--trim "${trim}" --min_seconds "${min_seconds}" --max_bad "${max_bad}")
        todo "${out}/.stage2" --inputs "${data}" "${feats_conf}" --scp "${data}/wav.scp" --options="${options[*]}" || continue
        in_jobs "${train_cmd}" "${nj}" "${data}/utt2spk" "${out}/log/format_wav.JOB.log" "${python}" -m evc2.bin.format_wav \
            --data_dir "${data}" --contract "${feats_conf}" --out "${out}" "${options[@]}"
        finished "${out}/.stage2" "${out}/wav.scp" "${out}/utt2num_samples"
    done
fi

# Training computes its features from the audio, on its device; only what is vocoded is stored.
if begins 3 "features of the test sets in ${dump%/*}"; then
    for set in "${tests[@]}"; do
        data=${dump}_${set} out=${dump}_${set}_copy
        need "${data}/.stage2" 2
        todo "${out}/.stage3" --inputs "${data}/utt2spk" "${feats_conf}" --scp "${data}/wav.scp" --options="${max_test}" || continue
        mkdir -p "${out}"
        awk -v n="${max_test}" '{line[NR] = $1} END {m = n > 0 && n < NR ? n : NR; for (i = 0; i < m; i++) print line[int(i * NR / m) + 1]}' \
            "${data}/utt2spk" > "${out}.list"
        utils/subset_data_dir.sh --utt_list "${out}.list" "${data}" "${out}"
        in_jobs "${train_cmd}" "${nj}" "${out}/utt2spk" "${out}/log/extract_feats.JOB.log" "${python}" -m evc2.bin.extract_feats \
            --data_dir "${out}" --contract "${feats_conf}" --out "${out}"
        finished "${out}/.stage3" "${out}/feats.scp" "${out}/utt2num_frames"
    done
fi

if begins 4 "trials: each utterance is to become itself"; then
    for set in "${tests[@]}"; do
        out=${dump}_${set}_copy
        need "${out}/.stage3" 3
        # One emotion for all: a copy changes none, and the table is not to be divided by them.
        awk '{print $1, "other"}' "${out}/utt2spk" > "${out}/utt2emo"
        awk '{print $1, $1, $2, "other", $1}' "${out}/utt2spk" > "${out}/trials"
    done
fi

if begins 5 "training in ${exp}" "${skip_train}"; then
    need "${dump}_train/.stage2" 2
    need "${dump}_dev/.stage2" 2
    [ -r "${train_config}" ] || die "--train_config: cannot read ${train_config}"
    words train_args "${train_args}"
    options=(${init_vocoder:+--init_vocoder "${init_vocoder}"} "${extra[@]}")
    [ -z "${gta}" ] || options+=(--train_feats_dir "${gta}/train" --valid_feats_dir "${gta}/dev")
    if todo "${exp}/.stage5" --inputs "${train_config}" --scp "${dump}_train/wav.scp" "${dump}_dev/wav.scp" --options="${options[*]}"; then
        train_in "${exp}" "${python}" -m evc2.bin.voc_train --config "${train_config}" --output_dir "${exp}" --feats_contract "${feats_conf}" \
            --train_dir "${dump}_train" --valid_dir "${dump}_dev" "${options[@]}"
        finished "${exp}/.stage5" "${exp}/config.yaml" "${exp}/latest.pth"
    fi
fi

"${skip_train}" || others+=("${exp}${inference_model:+/${inference_model}}")
name_of() {  # how a vocoder is called in the table
    [ "$1" = "${exp}${inference_model:+/${inference_model}}" ] && echo "${config_name//\//_}" || echo "${1//\//_}"
}
if begins 6 "copy-synthesis: ${others[*]}"; then
    "${skip_train}" || need "${exp}/.stage5" 5
    for set in "${tests[@]}"; do
        data=${dump}_${set}_copy
        need "${data}/trials" 4
        for vocoder in "${others[@]}"; do
            out=${exp}/copy_${set}/$(name_of "${vocoder}")
            inputs=("${data}/trials")
            [ ! -e "${vocoder}" ] || inputs+=("${vocoder}")
            todo "${out}/.stage6" --inputs "${inputs[@]}" --scp "${data}/feats.scp" || continue
            options=(--vocoder "${vocoder}")
            [ "${vocoder}" != world ] || options+=(--copy_synthesis true --contract "${world_conf}")
            rm -f "${out}/wav.scp"
            in_jobs "${decode_cmd}" "${nj}" "${data}/utt2spk" "${out}/log/vocode.JOB.log" "${python}" -m evc2.bin.vocode \
                --data_dir "${data}" "${options[@]}" --out "${out}"
            finished "${out}/.stage6" "${out}/wav.scp"
        done
    done
fi

if begins 7 "evaluation"; then
    words eval_args "${eval_args}"
    for set in "${tests[@]}"; do
        data=${dump}_${set}_copy out=${exp}/copy_${set}
        systems=(--system natural=@reference) scps=()
        for vocoder in "${others[@]}"; do
            scp=${out}/$(name_of "${vocoder}")/wav.scp
            need "${scp}" 6
            systems+=(--system "$(name_of "${vocoder}")=${scp}") scps+=("${scp}")
        done
        options=(--metrics "${metrics}" --compare_by "${metrics%%,*}" --compare natural --data_name "${PWD##*/egs/} ${split} ${set}" "${extra[@]}")
        [ -z "${asr_model}" ] || options+=(--asr_model "${asr_model}")
        "${skip_train}" || options+=(--facts "${exp}/train_summary.json")
        if todo "${out}/.stage7" --inputs "${data}/trials" --scp "${data}/wav.scp" "${scps[@]}" --options="${options[*]}"; then
            status=0
            # shellcheck disable=SC2086
            job ${train_cmd} --num_threads "${nj}" "${out}/log/evaluate.log" "${python}" -m evc2.bin.evaluate --trials "${data}/trials" \
                --data_dir "${data}" "${systems[@]}" --out "${out}" --nj "${nj}" "${options[@]}" || status=$?
            [ "${status}" -eq 0 ] || [ "${status}" -eq 3 ] || exit "${status}"  # 3: a table, but some scores are missing
            [ "${status}" -eq 0 ] || log "  some utterances could not be scored; see ${out}/log/evaluate.log"
            finished "${out}/.stage7" "${out}/RESULTS.md"
        fi
        cat "${out}/RESULTS.md"
        log "  table: ${out}/RESULTS.md; page to listen to: ${out}/report.html"
    done
fi
log "done"
