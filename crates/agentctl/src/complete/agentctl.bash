# Completion of agentctl for bash. It knows nothing itself: the program says what may follow.
_agentctl() {
    local program=$1 word=$2 answer paths value quoted description line
    local values=() described=()
    [[ $program == '~/'* ]] && program=$HOME/${program:2}
    COMPREPLY=()
    answer=$(command "$program" __complete bash "$COMP_WORDBREAKS" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null) || return 0
    # The first line says which paths may stand here, each other one is a word with what it is.
    while IFS= read -r line; do
        if [[ -z $paths ]]; then
            paths=$line
            continue
        fi
        value=${line%%$'\t'*}
        description=${line#"$value"}
        printf -v quoted '%q' "$value"
        values+=("$quoted")
        described+=("$value${description:+  (${description:1})}")
    done <<<"$answer"
    if ((${#values[@]} > 1)) && [[ ${COMP_TYPE:-9} == 63 ]]; then
        # Only shown, and not inserted.
        COMPREPLY=("${described[@]}")
    elif ((${#values[@]})); then
        COMPREPLY=("${values[@]}")
    elif [[ $paths == files || $paths == dirs ]]; then
        [[ $paths == files ]] && paths=-f || paths=-d
        while IFS= read -r line; do
            COMPREPLY+=("$line")
        done < <(compgen "$paths" -- "$word")
        compopt -o filenames 2>/dev/null
    fi
    return 0
}
complete -o nosort -F _agentctl agentctl 2>/dev/null || complete -F _agentctl agentctl
