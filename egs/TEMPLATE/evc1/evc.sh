#!/usr/bin/env bash
# The one pipeline of all voice-conversion recipes. A recipe's run.sh sets what its corpus needs and calls this.
set -euo pipefail

# What to run
stage=1                 # First stage: 1 data, 2 audio, 3 features, 4 statistics, 5 training, 6 conversion,
                        # 7 evaluation, 8 pack.
stop_stage=8            # Last stage.
skip_data_prep=false    # Leave out stages 1 to 4.
skip_train=false        # Leave out stage 5.
skip_eval=false         # Leave out stages 6 and 7.
skip_packing=false      # Leave out stage 8.
force=false             # Redo stages that are up to date; training starts anew.
python=python3          # Interpreter of all commands.
# Where
expdir=exp              # Folder for models and results.
dumpdir=dump            # Folder for audio and features as models read them.
evc_tag=                # Name of the experiment (empty: from training configuration, its arguments and the split).
evc_exp=                # Folder of the experiment (empty: expdir/evc_tag).
# How many
nj=$(env -u OMP_NUM_THREADS nproc)             # Jobs for audio, features and evaluation.
inference_nj=$(env -u OMP_NUM_THREADS nproc)   # Jobs for conversion.
ngpu=auto               # GPUs for training on each node: a number, or auto (1 if this machine has one, else 0).
num_nodes=1             # Nodes for training; more than one needs cmd_backend=slurm.
master_port=            # Port where several nodes meet (empty: from the experiment's folder).
train_threads=          # Threads of a training process (empty: all cores).
gpu_inference=false     # Convert on a GPU.
# Corpus (local/data.sh)
db_root=                # Folder of the corpus.
download=false          # Fetch the corpus if it has a public address.
split=speaker_dependent # How the corpus is divided; names data/<split>.
emotion_map=            # Renames emotions, e.g. "excited:happy,calm:neutral".
domain_by=emotion       # What a conversion changes: emotion | speaker | folder (speaker, and the corpus is a folder for each).
speakers=               # Speakers to use, e.g. "4 7 49 17" (empty: the recipe's choice or all).
directions="neutral:angry,angry:neutral" # Conversions of the trials, source:target,... (of speakers, empty: each to each)
intensity=              # Intensity of the trials' sources and references, e.g. strong (empty: any).
local_data_opts=        # More options for local/data.sh.
test_sets="test"        # Sets to convert and evaluate.
trials_of=              # Those among --directions that this model is for (empty: all); of one speaker: S:source:target,...
# Audio and features
feats_conf=             # Feature contract (empty: what the training configuration asks for, else conf/feats_world.yaml).
trim=true               # Cut the silence before and after an utterance.
vad=none                # Cut long pauses inside an utterance too: none | energy | webrtc.
loudness=               # Level in dBFS that quieter recordings are raised to (empty: as recorded).
min_seconds=0.1         # Shorter utterances are left out.
max_bad=0.05            # A larger share of unusable files stops stage 2.
spk2f0range=            # File of `speaker floor ceil` in Hz (empty: the contract's range for all).
# Systems that read text
align=                  # Phones: learned (with durations) | folder of TextGrids | phones (alone) | none (empty: what the system needs).
align_config=conf/train_aligner.yaml # What learns them.
g2p=espeak              # Phones: espeak | arpabet.
lexicon=                # Pronouncing dictionary for arpabet (empty: espeak's pronunciation of every word).
spembs=none             # Speaker vectors: resemblyzer | deepspeaker | a file or folder of vectors | none.
spembs_weights=         # Weights of deepspeaker.
strength=false          # Measure how strong each utterance's emotion is, for configurations with strength: true.
# Training
train_configs="conf/train_cyclegan.yaml" # Configurations in order; each starts from the best model of the one before.
train_config=           # A single configuration, instead of train_configs.
train_args=             # More options for all phases, e.g. "--max_epoch 20 --seed 1".
pretrained_model=       # Model file that the first phase starts from.
# Conversion and evaluation
inference_model=valid.mcd_gv.best.pth # Model file of a phase that is converted with, packed, and handed on.
inference_args=         # More options for evc2.bin.convert, e.g. "--intensity 1.2".
vocoder=                # What makes the sound of a system on mels: name or path (empty: the best ready-made one).
gta=false               # true: stage 6 also writes teacher-forced mels of train and dev, to fine-tune a vocoder (voc.sh --gta).
inference_tag=          # Added to the name of the decode folder, e.g. to keep results of several inference_args.
anchors=                # Rows beside natural speech (empty: zero_effort analysis_synthesis f0 f0_power [f0_power_mcep]).
anchors_only=false      # Evaluate the anchors alone: no training, no conversion.
plots=false             # Draw spectrogram and F0 of every conversion.
judge=                  # Emotion judges, FOLDER,FOLDER (see egs/*/ser1).
asr_model=              # Whisper model for CER and WER: folder or name on the hub (empty: the command's default).
eval_args=              # More options for evc2.bin.evaluate.
more_systems=           # Further rows, "name=wav.scp ..."; {exp} and {set} stand for the experiment's folder and the test set.
table=                  # A table of anchors and more_systems alone, in <experiment>/<table>_<set> (empty: of this model).

help_message="usage: $0 [--option value ...]      options may also come from a file of lines name=value: --config FILE"

# shellcheck source=utils/stages.sh
. utils/stages.sh
[ -x local/data.sh ] || die "expected local/data.sh in ${PWD}; run run.sh in a recipe's folder, egs/<corpus>/evc1"
# shellcheck source=utils/parse_options.sh
. utils/parse_options.sh
[ $# -eq 0 ] || die "expected only options, found '$1'; see $0 --help"
# shellcheck source=egs/TEMPLATE/evc1/path.sh
. ./path.sh
# shellcheck source=egs/TEMPLATE/evc1/cmd.sh
. ./cmd.sh
export PYTHON=${python}  # for the scripts of utils/
require_numbers stage stop_stage nj inference_nj num_nodes
check_launch
[[ ${domain_by} =~ ^(emotion|speaker|folder)$ ]] || die "--domain_by: expected emotion, speaker or folder, found '${domain_by}'"
domain=${domain_by/folder/speaker} domain=${domain#emotion}  # empty for emotion, which nobody needs to be told

read -r -a configs <<< "${train_config:-${train_configs}}"
read -r -a tests <<< "${test_sets}"
mapfile -t sets < <(printf '%s\n' train dev "${tests[@]}" | awk '!seen[$0]++')

[ "${#configs[@]}" -gt 0 ] || die "--train_configs is empty"
last=$(phase_of "${configs[-1]}")
if [ -z "${evc_tag}" ]; then
    evc_tag=${last}_${split}$(tr -s ' /:,=' '_' <<< "${train_args:+_${train_args//--/}}${trials_of:+_${trials_of}}")
fi
evc_exp=${evc_exp:-${expdir}/${evc_tag}}
needs=$("${python}" -m evc2.bin.show_contract --needs_of "${configs[-1]}")
feats_conf=${feats_conf:-${needs% *}} align=${align:-${needs#* }}
[ -r "${feats_conf}" ] || die "--feats_conf: cannot read ${feats_conf}; found $(echo conf/feats_*.yaml)"
mcep=$(! grep -q '^kind: *world' "${feats_conf}" || echo f0_power_mcep)  # coded envelopes are WORLD's
read -r -a anchor_names <<< "${anchors:-zero_effort analysis_synthesis f0 f0_power ${mcep}}"
contract=$("${python}" -m evc2.bin.show_contract --contract "${feats_conf}" --dirname true)
dump=${dumpdir}/${contract}/${split}
stats=${dump}_stats/stats.npz model=${evc_exp}/${last}

if "${anchors_only}"; then
    skip_train=true skip_packing=true
    anchors_exp=${expdir}/anchors_${split}
fi

. utils/text_features.sh
. utils/decode_steps.sh

choose_trials() {  # SET: sets `trials` to the list that this model does
    trials=${dump}_$1/trials
    [ -z "${trials_of}" ] || [ ! -s "${trials}" ] || trials=$(utils/subset_trials.sh "${dump}_$1" "${trials_of}")
}

watch_signals
if begins 1 "data (local/data.sh)" "${skip_data_prep}"; then
    words local_data_opts "${local_data_opts}"
    options=(--download "${download}" --split "${split}" --emotion_map "${emotion_map}" --directions "${directions}"
        --intensity "${intensity}" ${domain:+--domain_by "${domain_by}"} ${speakers:+--speakers "${speakers}"} "${extra[@]}")
    if todo "data/${split}/.stage1" --options="${db_root} ${options[*]}" --tree local ${db_root:+"${db_root}"}; then
        job local/data.sh --db_root "${db_root}" "${options[@]}" --out "data/${split}"
        for set in "${sets[@]}"; do
            utils/validate_data_dir.sh --no-text --no-feats "data/${split}/${set}" --need utt2emo
        done
        finished "data/${split}/.stage1" "${sets[@]/#/data/${split}/}"
    fi
fi

if begins 2 "audio at the rate of ${feats_conf}" "${skip_data_prep}"; then
    for set in "${sets[@]}"; do
        data=data/${split}/${set} out=${dump}_${set}
        need "${data}/wav.scp" 1
        options=(--trim "${trim}" --min_seconds "${min_seconds}" --max_bad "${max_bad}" ${loudness:+--loudness "${loudness}"})
        [ "${vad}" = none ] || options+=(--vad "${vad}")
        [ "${#grids[@]}" -eq 0 ] || options+=(--textgrids "${align}")
        todo "${out}/.stage2" --inputs "${data}" "${feats_conf}" --scp "${data}/wav.scp" "${grids[@]}" --options="${options[*]}" || continue
        in_jobs "${train_cmd}" "${nj}" "${data}/utt2spk" "${out}/log/format_wav.JOB.log" "${python}" -m evc2.bin.format_wav \
            --data_dir "${data}" --contract "${feats_conf}" --out "${out}" "${options[@]}"
        finished "${out}/.stage2" "${out}/wav.scp" "${out}/utt2num_samples"
    done
fi

if begins 3 "features of ${feats_conf} in ${dump%/*}" "${skip_data_prep}"; then
    for set in "${sets[@]}"; do
        out=${dump}_${set}
        need "${out}/.stage2" 2
        range=()
        [ -z "${spk2f0range}" ] || range=(--spk2f0range "${spk2f0range}")
        todo "${out}/.stage3" --inputs "${out}/utt2spk" "${feats_conf}" "${spk2f0range:-data/${split}/${set}/spk2f0range}" \
            --scp "${out}/wav.scp" || continue
        in_jobs "${train_cmd}" "${nj}" "${out}/utt2spk" "${out}/log/extract_feats.JOB.log" "${python}" -m evc2.bin.extract_feats \
            --data_dir "${out}" --contract "${feats_conf}" --out "${out}" "${range[@]}"
        made=()
        for name in feats f0 power; do [ ! -e "${out}/${name}.scp" ] || made+=("${out}/${name}.scp"); done
        finished "${out}/.stage3" "${made[@]}" "${out}/utt2num_frames"
    done
    if [ "${align}" != none ]; then text_features; fi
fi

if begins 4 "statistics of the training set" "${skip_data_prep}"; then
    need "${dump}_train/.stage3" 3
    if todo "${stats%/*}/.stage4" --inputs "${dump}_train/utt2spk" "${dump}_train/utt2emo" --scp "${dump}_train/feats.scp"; then
        # shellcheck disable=SC2086
        job ${train_cmd} "${stats%/*}/log/stats.log" \
            "${python}" -m evc2.bin.stats --data_dir "${dump}_train" --out "${stats}"
        finished "${stats%/*}/.stage4" "${stats}"
    fi
    if "${strength}"; then strength_tables; fi
fi

if begins 5 "training in ${evc_exp}" "${skip_train}"; then
    need "${stats}" 4
    need "${dump}_dev/.stage3" 3
    init=${pretrained_model} valid=()
    choose_trials dev
    [ ! -s "${trials}" ] || valid=(--valid_trials "${trials}")
    words train_args "${train_args}"
    for config in "${configs[@]}"; do
        [ -r "${config}" ] || die "--train_configs: cannot read ${config}"
        out=${evc_exp}/$(phase_of "${config}")
        options=(${domain:+--domain_by "${domain}"} ${init:+--init_param "${init}"} "${extra[@]}")
        train=("${python}" -m evc2.bin.evc_train --config "${config}" --output_dir "${out}" --feats_contract "${feats_conf}"
            --stats "${stats}" --train_dir "${dump}_train" --valid_dir "${dump}_dev" "${valid[@]}"
            --directions "$(sed -E 's/[^:, ]+:([^:, ]+:)/\1/g' <<< "${trials_of:-${directions}}")" "${options[@]}")
        if todo "${out}/.stage5" --inputs "${config}" "${stats}" ${init:+"${init}"} "${trials}" \
            --scp "${dump}_train/feats.scp" "${dump}_dev/feats.scp" "${text_inputs[@]}" --options="${trials_of:-${directions}} ${options[*]}"; then
            train_in "${out}" "${train[@]}"
            [ -e "${out}/${inference_model}" ] || die "training left no ${out}/${inference_model}; found:" \
                "$(cd "${out}" && echo ./*.pth); choose one with --inference_model"
            finished "${out}/.stage5" "${out}/config.yaml" "${out}/${inference_model}"
        fi
        init=${out}/${inference_model}
    done
fi

if begins 6 "anchors$("${anchors_only}" || echo " and conversion with ${model}/${inference_model}")" "${skip_eval}"; then
    "${anchors_only}" || need "${model}/${inference_model}" 5
    words inference_args "${inference_args}"
    "${gpu_inference}" && gpu=1 || gpu=0
    for set in "${tests[@]}"; do
        data=${dump}_${set}
        need "${data}/.stage3" 3
        [ -s "${data}/trials" ] || die "${data}/trials has no trial: no utterance of ${set} fits --directions ${directions}"
        common=(--data_dir "${data}" --trials)
        make_anchors "${set}"
        ! "${anchors_only}" || continue
        choose_trials "${set}"
        out=${evc_exp}/decode_${set}${inference_tag:+_${inference_tag}}
        options=(--plot "${plots}" ${vocoder:+--vocoder "${vocoder}"} "${extra[@]}")
        todo "${out}/.stage6" --inputs "${model}/${inference_model}" "${model}/config.yaml" "${trials}" "${data}/phones" \
            --scp "${data}/feats.scp" "${data}/wav.scp" --options="${options[*]}" || continue
        rm -f "${out}/wav.scp"
        convert=("${python}" -m evc2.bin.convert --model "${model}" --model_file "${inference_model}" "${common[@]}" "${trials}"
            --out "${out}" "${options[@]}")
        [ "${gpu}" -eq 0 ] || convert+=(--device cuda)
        in_jobs "${decode_cmd} --gpu ${gpu}" "${inference_nj}" "${trials}" "${out}/log/convert.JOB.log" "${convert[@]}"
        finished "${out}/.stage6" "${out}/wav.scp"
    done
    if "${gta}" && ! "${anchors_only}"; then make_gta; fi
fi

if begins 7 "evaluation" "${skip_eval}"; then
    words eval_args "${eval_args}"
    for set in "${tests[@]}"; do
        data=${dump}_${set} out=${evc_exp}/decode_${set}${inference_tag:+_${inference_tag}}
        choose_trials "${set}"
        systems=(--system natural=@reference) scps=() rows=() more=${more_systems//\{set\}/${set}}
        read -r -a more <<< "${more//\{exp\}/${evc_exp}}"
        if "${anchors_only}"; then
            out=${anchors_exp}_${set}
        elif [ -n "${table}" ]; then
            out=${evc_exp}/${table}_${set}
        else
            need "${out}/wav.scp" 6
            rows=("${last}${inference_tag:+_${inference_tag}}=${out}/wav.scp")
        fi
        for anchor in "${anchor_names[@]}"; do
            scp=${dump}_anchors_${set}/${anchor}/wav.scp
            need "${scp}" 6
            systems+=(--system "${anchor}=${scp}") scps+=("${scp}")
        done
        for row in "${rows[@]}" "${more[@]}"; do systems+=(--system "${row}") scps+=("${row#*=}"); done
        options=(--data_name "${PWD##*/egs/} ${split} ${set}" ${domain:+--enrol_dir "${dump}_train"} "${extra[@]}")
        [ -z "${judge}" ] || options+=(--judge "${judge}")
        [ -z "${asr_model}" ] || options+=(--asr_model "${asr_model}")
        "${anchors_only}" || [ ! -e "${model}/train_summary.json" ] || options+=(--facts "${model}/train_summary.json")
        kept=data/${split}/local && [ -d "${kept}" ] || kept=local/score.sh  # what data.sh leaves for score.sh, if anything
        if todo "${out}/.stage7" --inputs "${trials}" local/score.sh "${kept}" --scp "${data}/wav.scp" "${scps[@]}" \
            --options="${options[*]}${more[*]:+ ${more[*]}}"; then
            status=0
            # shellcheck disable=SC2086
            job ${train_cmd} --num_threads "${nj}" "${out}/log/evaluate.log" \
                "${python}" -m evc2.bin.evaluate --trials "${trials}" --data_dir "${data}" "${systems[@]}" \
                --out "${out}" --nj "${nj}" "${options[@]}" || status=$?
            # Status 3: there is a table, but some trials have no score.
            [ "${status}" -eq 0 ] || [ "${status}" -eq 3 ] || exit "${status}"
            [ "${status}" -eq 0 ] || log "  some trials could not be scored; see ${out}/log/evaluate.log"
            [ ! -x local/score.sh ] || job local/score.sh --data_dir "${data}" --trials "${trials}" --decode_dir "${out}" \
                --nj "${nj}" --split "${split}" --model "${model}" --model_file "${inference_model}"
            finished "${out}/.stage7" "${out}/RESULTS.md"
        fi
        cat "${out}/RESULTS.md"
        log "  table: ${out}/RESULTS.md; page to listen to: ${out}/report.html$([ ! -e "${out}/wav" ] || echo "; audio: ${out}/wav")"
    done
fi

if begins 8 "pack" "${skip_packing}"; then
    need "${model}/${inference_model}" 5
    pack=${evc_exp}/${evc_tag}.zip
    if todo "${evc_exp}/.stage8" --inputs "${model}/${inference_model}" "${model}/config.yaml" "${model}/stats.npz"; then
        "${python}" -m evc2.bin.pack --model "${model}" --model_file "${inference_model}" --out "${pack}"
        finished "${evc_exp}/.stage8" "${pack}"
    fi
    use="evc2 convert --model ${pack} $([ -n "${domain}" ] && echo "--target_speaker <speaker>" || echo "--emotion <emotion>") in.wav out.wav"
    [ "${needs#* }" != learned ] || use="evc2 synthesize --model ${pack} --text <text> --speaker <speaker> --emotion <emotion> --out out.wav"
    log "  ${pack}: ${use}"
fi
log "done"
