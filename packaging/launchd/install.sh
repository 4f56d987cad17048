#!/bin/sh
# Installs agentd on macOS from the directory of the unpacked archive: programs, user, directories, launchd jobs.
# Run as root. Once more over an older version: sources, store and configuration stay as they are.
# DESTDIR=DIR puts the files under DIR and starts nothing, to build a package from.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dest=${DESTDIR:-}
data="/Library/Application Support/agentd"
daemons=/Library/LaunchDaemons
user=_agentd

fail() { echo "install.sh: $*" >&2; exit 1; }

# The first free id for both user and group below 500: those are hidden and of the system.
free_id() {
    id=300
    while [ "$id" -lt 500 ]; do
        if [ -z "$(dscl . -search /Users UniqueID "$id")" ] && [ -z "$(dscl . -search /Groups PrimaryGroupID "$id")" ]; then
            echo "$id"
            return
        fi
        id=$((id + 1))
    done
    fail "no free user id below 500"
}

make_user() {
    dscl . -read "/Users/$user" >/dev/null 2>&1 && return
    id=$(free_id)
    dscl . -create "/Groups/$user"
    dscl . -create "/Groups/$user" PrimaryGroupID "$id"
    dscl . -create "/Groups/$user" RealName "agentd trust store"
    dscl . -create "/Users/$user"
    dscl . -create "/Users/$user" UniqueID "$id"
    dscl . -create "/Users/$user" PrimaryGroupID "$id"
    dscl . -create "/Users/$user" RealName "agentd trust store"
    dscl . -create "/Users/$user" NFSHomeDirectory /var/empty
    dscl . -create "/Users/$user" UserShell /usr/bin/false
    dscl . -create "/Users/$user" IsHidden 1
}

put() { # MODE FILE DIRECTORY
    install -d -m 0755 "$dest$3"
    install -m "$1" "$here/$2" "$dest$3/"
}

stop() { # LABEL; not loaded is no error
    launchctl bootout "system/$1" >/dev/null 2>&1 || true
}

if [ -z "$dest" ]; then
    [ "$(uname -s)" = Darwin ] || fail "this is the installation for macOS; on Linux use the deb, the rpm or docs/INSTALL.md"
    [ "$(id -u)" = 0 ] || fail "run it as root: sudo $0"
    make_user
    stop io.agentd.agentd
    stop io.agentd.rundir
fi

put 0755 bin/agentd /usr/local/bin
put 0755 bin/agentctl /usr/local/bin
for page in "$here"/share/man/man*/*; do
    section=$(basename "$(dirname "$page")")
    put 0644 "share/man/$section/$(basename "$page")" "/usr/local/share/man/$section"
done
put 0644 share/completions/_agentctl /usr/local/share/zsh/site-functions
put 0644 launchd/io.agentd.agentd.plist "$daemons"
put 0644 launchd/io.agentd.rundir.plist "$daemons"
put 0755 uninstall.sh "/usr/local/share/agentd"
install -d -m 0755 "$dest$data" "$dest$data/policies" "$dest/var/log/agentd"
# An edited configuration stays; what is new in the file can be read beside it.
if [ -e "$dest$data/agentd.toml" ]; then
    cp "$here/agentd.toml" "$dest$data/agentd.toml.new"
else
    put 0644 agentd.toml "$data"
fi

if [ -z "$dest" ]; then
    chown "$user:$user" "$data" "$data/policies" /var/log/agentd
    /usr/local/bin/agentd --check
    launchctl bootstrap system "$daemons/io.agentd.rundir.plist"
    launchctl bootstrap system "$daemons/io.agentd.agentd.plist"
    echo "agentd runs. See how it is: agentctl status"
fi
