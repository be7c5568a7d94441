#!/usr/bin/env bash
# Options of a shell script, Kaldi's way. Sourced after the variables that are its options have got their defaults:
#
#   # Data                       a heading in --help
#   nj=4           # Number of jobs.
#                  # A second line of help.
#   skip_x=false   # A default of true or false takes only these two.
#   . utils/parse_options.sh
#
# Then --nj 8, --nj=8, --skip-x true and --skip_x true set the variables; the arguments from the first one without -- on
# stay in "$@". Only variables assigned above the source line, at its left margin, are options (not those that start
# with _ or a capital). --config FILE reads lines `name=value` of FILE; the command line goes before it. --help lists
# every option with the value it would have, so that a recipe's own settings show as its defaults; $help_message,
# if set, comes first. Nothing is evaluated: a value may hold quotes, dollars and spaces.

_po_script=${BASH_SOURCE[1]:-$0}
_po_names=()
declare -A _po_help=() _po_heading=() _po_bool=()

# Fills the tables above from the script's text.
_po_read() {
    # All names start with _po_: a plain `local name` would hide an option called --name.
    local _po_line _po_name='' _po_title='' _po_rest
    local _po_is_option='^([a-z][a-zA-Z0-9_]*)=(.*)$'
    local _po_is_more='^[[:space:]]+#[[:space:]]?(.*)$' _po_is_heading='^#[[:space:]]*(.*)$'
    # A default is a run of "...", '...', $(...), or characters that need no quotes; a comment may follow.
    local _po_value="(\"([^\"\\]|\\\\.)*\"|'[^']*'|\\\$\\([^()]*\\)|[^[:space:]\"'#]|[^[:space:]\"']#)*"
    local _po_with_comment="^${_po_value}[[:space:]]+#[[:space:]]*(.*)\$"
    while IFS= read -r _po_line || [ -n "$_po_line" ]; do
        if [[ $_po_line =~ ^[[:space:]]*(\.|source)[[:space:]].*parse_options\.sh ]]; then
            break
        elif [[ $_po_line =~ $_po_is_option ]]; then
            _po_name=${BASH_REMATCH[1]} _po_rest=${BASH_REMATCH[2]}
            if [ -z "${_po_help[$_po_name]+set}" ]; then
                _po_names+=("$_po_name")
                _po_heading[$_po_name]=$_po_title
                _po_title=''
                case ${!_po_name-} in true | false) _po_bool[$_po_name]=yes ;; esac
            fi
            if [[ $_po_rest =~ $_po_with_comment ]]; then
                _po_help[$_po_name]=${BASH_REMATCH[3]}
            else
                _po_help[$_po_name]=${_po_help[$_po_name]-}
            fi
        elif [[ $_po_line =~ $_po_is_more ]] && [ -n "$_po_name" ]; then
            _po_help[$_po_name]+=$'\n'${BASH_REMATCH[1]}
        elif [[ $_po_line =~ $_po_is_heading ]]; then
            _po_name='' _po_title=${BASH_REMATCH[1]}
        else
            _po_name='' _po_title=''
        fi
    done < "$_po_script"
}

_po_error() {
    echo "${0##*/}: error: $1" >&2
    echo "See '$0 --help'." >&2
    exit 1
}

# Prints the option that is most like $1, if one is, by the number of letters to change.
_po_nearest() {
    printf '%s\n' config "${_po_names[@]}" | awk -v want="$1" '
        function least(a, b) { return a < b ? a : b }
        function distance(a, b,    i, j, old, new, n) {
            n = length(b)
            for (j = 0; j <= n; j++) old[j] = j
            for (i = 1; i <= length(a); i++) {
                new[0] = i
                for (j = 1; j <= n; j++) {
                    new[j] = least(least(old[j], new[j - 1]) + 1, old[j - 1] + (substr(a, i, 1) != substr(b, j, 1)))
                }
                for (j = 0; j <= n; j++) old[j] = new[j]
            }
            return old[n]
        }
        {
            d = distance(want, $0)
            if (index($0, want) == 1) d = least(d, 2)  # the beginning of a name
            if (NR == 1 || d < best) { best = d; name = $0 }
        }
        END { if (best <= least(3, length(want) / 2)) print " (did you mean --" name "?)" }'
}

# $1: name, $2: value, $3: how the user wrote the name.
_po_set() {
    [ -n "${_po_help[$1]+set}" ] || _po_error "unknown option $3$(_po_nearest "$1")"
    if [ -n "${_po_bool[$1]-}" ] && [ "$2" != true ] && [ "$2" != false ]; then
        _po_error "$3: expected true or false, found '$2'"
    fi
    printf -v "$1" '%s' "$2"
}

_po_read_config() {
    local _po_line _po_number=0 _po_name _po_value
    if [ ! -r "$1" ] || [ -d "$1" ]; then
        _po_error "--config: cannot read $1"
    fi
    while IFS= read -r _po_line || [ -n "$_po_line" ]; do
        _po_number=$((_po_number + 1))
        [[ $_po_line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $_po_line =~ ^([A-Za-z_][A-Za-z0-9_-]*)=(.*)$ ]] || _po_error "$1:$_po_number: expected name=value, found '$_po_line'"
        _po_name=${BASH_REMATCH[1]//-/_} _po_value=${BASH_REMATCH[2]}
        _po_value=${_po_value%"${_po_value##*[![:space:]]}"}
        case $_po_value in
            \"?*\" | \'?*\') _po_value=${_po_value:1:${#_po_value}-2} ;;
        esac
        _po_set "$_po_name" "$_po_value" "$1:$_po_number: ${BASH_REMATCH[1]}"
    done < "$1"
}

_po_show_help() {
    local _po_name _po_line _po_first
    if [ -n "${help_message-}" ]; then
        printf '%s\n' "$help_message"
    else
        printf 'usage: %s [--option value ...]\n' "$0"
    fi
    for _po_name in "${_po_names[@]}"; do
        [ -z "${_po_heading[$_po_name]}" ] || printf '\n%s\n' "${_po_heading[$_po_name]}"
        _po_first=yes
        while IFS= read -r _po_line; do
            if [ -n "$_po_first" ]; then
                printf '  --%-24s %s%s\n' "$_po_name" "${_po_line:+$_po_line }" "(default: ${!_po_name-})"
                _po_first=''
            else
                printf '    %-24s %s\n' '' "$_po_line"
            fi
        done <<< "${_po_help[$_po_name]}"
    done
}

_po_read
if [ -z "${_po_help[config]+set}" ]; then
    # The file first, wherever it stands, so that the command line goes before it.
    for ((_po_i = 1; _po_i <= $#; _po_i++)); do
        case ${!_po_i} in
            --config=*) _po_read_config "${!_po_i#--config=}" ;;
            --config)
                _po_j=$((_po_i + 1))
                [ "$_po_j" -le $# ] || _po_error "--config has no value"
                _po_read_config "${!_po_j}"
                ;;
            --*=* | --help) ;;
            --?*) _po_i=$((_po_i + 1)) ;;
            *) break ;;
        esac
    done
fi
_po_wants_help=''
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h)
            _po_wants_help=yes
            shift
            ;;
        --)
            shift
            break
            ;;
        --*)
            _po_flag=${1%%=*}
            _po_name=${_po_flag#--}
            _po_name=${_po_name//-/_}
            if [ "$_po_name" != config ] && [ -z "${_po_help[$_po_name]+set}" ]; then
                _po_error "unknown option $_po_flag$(_po_nearest "$_po_name")"
            fi
            if [[ $1 == *=* ]]; then
                _po_value=${1#*=}
                shift
            else
                [ $# -ge 2 ] || _po_error "$_po_flag has no value"
                _po_value=$2
                # `--stage --nj 4`: the value was forgotten, and --nj would be lost.
                _po_next=${2#--}
                if [[ $2 == --?* ]] && [ -n "${_po_help[${_po_next//-/_}]+set}" ]; then
                    _po_error "$_po_flag has no value (the next word is $2)"
                fi
                shift 2
            fi
            if [ "$_po_name" != config ] || [ -n "${_po_help[config]+set}" ]; then
                _po_set "$_po_name" "$_po_value" "$_po_flag"
            fi
            ;;
        *)
            break
            ;;
    esac
done
if [ -n "$_po_wants_help" ]; then
    _po_show_help
    exit 0
fi
unset -v _po_script _po_names _po_help _po_heading _po_bool _po_i _po_j _po_flag _po_name _po_value _po_next _po_wants_help
unset -f _po_read _po_error _po_nearest _po_set _po_read_config _po_show_help
