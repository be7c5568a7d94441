# shellcheck shell=bash
# Sourced by path.sh: puts the Python that tools/setup.sh made first on PATH. Without tools/venv the Python that is
# active already (conda, a container, a module) is used if it has what is needed. Put your own `conda activate` here.
_evc2_tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -x "${_evc2_tools}/venv/bin/python3" ]; then
    # Not `. venv/bin/activate`: its text holds the path where it was made, and sets a prompt.
    export VIRTUAL_ENV="${_evc2_tools}/venv" PATH="${_evc2_tools}/venv/bin:${PATH}"
    unset PYTHONHOME
elif ! python3 -c 'import sys; from importlib.util import find_spec as f
sys.exit(not all(map(f, ("torch", "espnet2", "kaldiio", "pyworld"))))' 2>/dev/null; then
    echo "error: expected a Python with torch, espnet, kaldiio and pyworld; found neither tools/venv nor these in" \
        "$(command -v python3 || echo 'any python3'). Run tools/setup.sh once." >&2
    unset _evc2_tools
    return 1
fi
unset _evc2_tools
