#!/usr/bin/env bash
# Picks the trials of some directions: DIR SOURCE:TARGET,... [OUT], or SPEAKER:SOURCE:TARGET for those of one speaker.
# DIR holds trials and utt2emo. Prints OUT, by default DIR/trials_<directions>.
set -euo pipefail
[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: ${0##*/} DIR SOURCE:TARGET,... [OUT]" >&2 && exit 2; }
out=${3:-$1/trials_$(tr -s ' :,' '_' <<< "$2")}
for file in "$1/utt2emo" "$1/trials"; do
    [ -r "${file}" ] || { echo "${0##*/}: error: cannot read ${file}" >&2 && exit 1; }
done
trap 'rm -f "${out}.$$"' EXIT
awk -v directions="$2" -v where="$1/trials" '
    BEGIN { n = split(directions, wanted, /[ ,]+/) }
    NR == FNR { emotion[$1] = $2; next }
    {
        direction = emotion[$2] ":" $4
        found[direction] = 1
        for (i = 1; i <= n; i++) if (wanted[i] == direction || wanted[i] == $3 ":" direction) { print; number[i]++; break }
    }
    END {
        for (i = 1; i <= n; i++) if (wanted[i] != "" && !number[i]) missing = missing " " wanted[i]
        for (direction in found) present = present " " direction
        if (missing != "") {
            print "subset_trials.sh: error: " where " has no trial of" missing "; it has" present > "/dev/stderr"
            exit 1
        }
    }' "$1/utt2emo" "$1/trials" > "${out}.$$"
mv "${out}.$$" "${out}"
echo "${out}"
