# Completion of agentctl for fish. It knows nothing itself: the program says what may follow.
function __agentctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l answer (command $program __complete fish $words "$current" 2>/dev/null)
    test (count $answer) -gt 1
    and printf '%s\n' $answer[2..-1]
    set -l option (string match -r -- '^--[^=]*=' $current)
    set -l path (string replace -r -- '^--[^=]*=' '' $current)
    switch "$answer[1]"
        case files
            printf "$option%s\n" (__fish_complete_path "$path")
        case dirs
            printf "$option%s\n" (__fish_complete_directories "$path" '')
    end
end
complete --command agentctl --no-files --keep-order --arguments '(__agentctl_complete)'
