#!/usr/bin/env bash
# Picks the trials of some directions: DIR SOURCE:TARGET,... [OUT], where both are emotions or both are speakers, or
# SPEAKER:SOURCE:TARGET for an emotion's direction of one speaker.
# DIR holds trials and utt2emo, and utt2spk for directions of speakers. Prints OUT, by default DIR/trials_<directions>.
set -euo pipefail
[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: ${0##*/} DIR SOURCE:TARGET,... [OUT]" >&2 && exit 2; }
out=${3:-$1/trials_$(tr -s ' :,' '_' <<< "$2")}
for file in "$1/utt2emo" "$1/trials"; do
    [ -r "${file}" ] || { echo "${0##*/}: error: cannot read ${file}" >&2 && exit 1; }
done
speakers=$1/utt2spk
[ -r "${speakers}" ] || speakers=/dev/null
trap 'rm -f "${out}.$$"' EXIT
awk -v directions="$2" -v where="$1/trials" '
    BEGIN { n = split(directions, wanted, /[ ,]+/) }
    FILENAME == ARGV[1] { emotion[$1] = $2; next }
    FILENAME == ARGV[2] { speaker[$1] = $2; next }
    {
        # A trial that changes the speaker keeps the emotion, and the other way round: only what changes is a direction.
        changes = ($2 in speaker) && speaker[$2] != $3
        direction = changes ? speaker[$2] ":" $3 : emotion[$2] ":" $4
        found[direction] = 1
        for (i = 1; i <= n; i++) {
            if (wanted[i] == direction || !changes && wanted[i] == $3 ":" direction) { print; number[i]++; break }
        }
    }
    END {
        for (i = 1; i <= n; i++) if (wanted[i] != "" && !number[i]) missing = missing " " wanted[i]
        for (direction in found) present = present " " direction
        if (missing != "") {
            print "subset_trials.sh: error: " where " has no trial of" missing "; it has" present > "/dev/stderr"
            exit 1
        }
    }' "$1/utt2emo" "${speakers}" "$1/trials" > "${out}.$$"
mv "${out}.$$" "${out}"
echo "${out}"
