#!/bin/sh
# Installs agentd on macOS, from the directory of the unpacked archive, or from /opt/agentd, where the package has put the
# same files: programs, links to them, user, directories, launchd jobs.
# Run as root. Once more over an older version: sources, store and configuration stay as they are.
# DESTDIR=DIR puts the files under DIR and starts nothing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dest=${DESTDIR:-}
# Of root alone, as /usr/local is not everywhere: Homebrew gives its directories to a person.
home=/opt/agentd
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

# The whole of it beside the old one, then in its place.
copy() {
    rm -rf "$dest$home.new"
    install -d -m 0755 "$dest$home.new"
    for name in bin share launchd agentd.toml install.sh uninstall.sh README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE; do
        [ ! -e "$here/$name" ] || cp -R "$here/$name" "$dest$home.new/"
    done
    chmod -R u=rwX,go=rX "$dest$home.new"
    if [ -z "$dest" ]; then
        chown -R 0:0 "$home.new"
        # What a browser fetched is marked, and the mark is copied: who runs this as root has decided.
        xattr -dr com.apple.quarantine "$home.new" >/dev/null 2>&1 || true
    fi
    rm -rf "$dest$home"
    mv "$dest$home.new" "$dest$home"
}

link() { # FILE of ours, DIRECTORY
    install -d -m 0755 "$dest$2"
    ln -sf "$home/$1" "$dest$2/$(basename "$1")"
}

stop() { # LABEL; not loaded is no error
    launchctl bootout "system/$1" >/dev/null 2>&1 || true
}

for program in agentd agentctl; do
    [ -e "$here/bin/$program" ] || fail "no $here/bin/$program: run this where the archive was unpacked"
done
if [ -z "$dest" ]; then
    [ "$(uname -s)" = Darwin ] || fail "this is the installation for macOS; on Linux use the deb, the rpm or docs/INSTALL.md"
    [ "$(id -u)" = 0 ] || fail "run it as root: sudo $0"
    "$here/bin/agentctl" --version >/dev/null || fail "these programs are not for this Mac ($(uname -m))"
    make_user
    stop io.agentd.agentd
    stop io.agentd.rundir
fi

[ "$here" = "$dest$home" ] || copy
link bin/agentd /usr/local/bin
link bin/agentctl /usr/local/bin
for page in "$dest$home"/share/man/man*/*; do
    section=$(basename "$(dirname "$page")")
    link "share/man/$section/$(basename "$page")" "/usr/local/share/man/$section"
done
link share/completions/_agentctl /usr/local/share/zsh/site-functions
install -d -m 0755 "$dest$daemons" "$dest$data" "$dest$data/policies" "$dest/var/log/agentd"
# launchd takes no job that is a link, or that is not root's.
install -m 0644 "$dest$home/launchd/io.agentd.agentd.plist" "$dest$home/launchd/io.agentd.rundir.plist" "$dest$daemons/"
# An edited configuration stays; what is new in the file can be read beside it.
if [ ! -e "$dest$data/agentd.toml" ]; then
    install -m 0644 "$dest$home/agentd.toml" "$dest$data/"
elif ! cmp -s "$dest$home/agentd.toml" "$dest$data/agentd.toml"; then
    install -m 0644 "$dest$home/agentd.toml" "$dest$data/agentd.toml.new"
fi

if [ -z "$dest" ]; then
    chown "$user:$user" "$data" "$data/policies" /var/log/agentd
    "$home/bin/agentd" --check
    launchctl bootstrap system "$daemons/io.agentd.rundir.plist"
    launchctl bootstrap system "$daemons/io.agentd.agentd.plist"
    echo "agentd runs. See how it is: agentctl status"
fi
