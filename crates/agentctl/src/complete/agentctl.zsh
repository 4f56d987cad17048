#compdef agentctl
# Completion of agentctl for zsh. It knows nothing itself: the program says what may follow.
_agentctl() {
    local program=${(Q)words[1]} kind line value
    local -a answer described
    [[ $program == '~/'* ]] && program=$HOME/${program#'~/'}
    answer=("${(@f)$(command "$program" __complete zsh "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    kind=$answer[1]
    # Of `--option=value` the value alone is completed.
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    for line in "${(@)answer[2,-1]}"; do
        value=${line%%$'\t'*}
        [[ -n $value ]] || continue
        if [[ $line == *$'\t'* ]]; then
            described+=("${value//:/\\:}:${line#*$'\t'}")
        else
            described+=("${value//:/\\:}")
        fi
    done
    local -i found=1
    ((${#described})) && _describe -V agentctl described && found=0
    case $kind in
    files) _files && found=0 ;;
    dirs) _files -/ && found=0 ;;
    esac
    return found
}
if [[ $funcstack[1] == _agentctl ]]; then
    _agentctl "$@"
else
    compdef _agentctl agentctl
fi
