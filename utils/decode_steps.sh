# shellcheck shell=bash disable=SC2034,SC2154
# Parts of stage 6: what conversions are compared with, and what vocoders are fine-tuned on. Sourced by evc.sh, whose
# variables it uses.

# make_anchors SET: the rows to compare with.
make_anchors() {
    local set=$1 anchor out data=${dump}_$1
    for anchor in "${anchor_names[@]}"; do
        out=${dump}_anchors_${set}/${anchor}
        todo "${out}/.stage6" --inputs "${data}/trials" "${stats}" --scp "${data}/wav.scp" ${vocoder:+--options="${vocoder}"} || continue
        rm -f "${out}/wav.scp"
        in_jobs "${train_cmd}" "${inference_nj}" "${data}/trials" "${out}/log/anchors.JOB.log" "${python}" -m evc2.bin.anchors \
            --anchor "${anchor}" --stats "${stats}" --contract "${feats_conf}" --data_dir "${data}" --trials "${data}/trials" \
            ${vocoder:+--vocoder "${vocoder}"} --out "${out}"
        finished "${out}/.stage6" "${out}/wav.scp"
    done
}

# make_gta: teacher-forced mel spectrograms of the training and development sets.
make_gta() {
    local set data out
    for set in train dev; do
        data=${dump}_${set} out=${evc_exp}/gta/${set}
        todo "${out}/.stage6" --inputs "${model}/${inference_model}" --scp "${data}/feats.scp" || continue
        in_jobs "${decode_cmd}" "${inference_nj}" "${data}/utt2spk" "${out}/log/gta.JOB.log" "${python}" -m evc2.bin.gta \
            --model "${model}" --model_file "${inference_model}" --data_dir "${data}" --out "${out}"
        finished "${out}/.stage6" "${out}/feats.scp"
    done
}
