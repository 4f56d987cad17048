#!/bin/sh
# Removes agentd from macOS. The sources, the store and the configuration stay, unless --purge is given.
# DESTDIR=DIR removes what install.sh put under DIR.
set -eu

dest=${DESTDIR:-}
home=/opt/agentd
data="/Library/Application Support/agentd"
daemons=/Library/LaunchDaemons
user=_agentd
purge=no
case ${1:-} in
    "") ;;
    --purge) purge=yes ;;
    *) echo "usage: uninstall.sh [--purge]" >&2; exit 2 ;;
esac

if [ -z "$dest" ]; then
    [ "$(id -u)" = 0 ] || { echo "uninstall.sh: run it as root: sudo $0" >&2; exit 1; }
    for job in io.agentd.agentd io.agentd.rundir; do
        launchctl bootout "system/$job" >/dev/null 2>&1 || true
    done
    # The receipt, where it came as a package.
    pkgutil --forget io.agentd.agentd >/dev/null 2>&1 || true
fi

rm -f "$dest$daemons/io.agentd.agentd.plist" "$dest$daemons/io.agentd.rundir.plist"
# Links to us, and nothing that somebody else has put in their place.
for link in "$dest/usr/local/bin"/agent* "$dest/usr/local/share/man"/man*/agent* "$dest/usr/local/share/zsh/site-functions/_agentctl"; do
    case $(readlink "$link" 2>/dev/null || true) in
        "$home"/*) rm -f "$link" ;;
    esac
done
rm -rf "$dest$home" "$dest/var/run/agentd"

if [ "$purge" = yes ]; then
    rm -rf "$dest$data" "$dest/var/log/agentd"
    if [ -z "$dest" ]; then
        dscl . -delete "/Users/$user" >/dev/null 2>&1 || true
        dscl . -delete "/Groups/$user" >/dev/null 2>&1 || true
    fi
else
    echo "kept: $dest$data and $dest/var/log/agentd (uninstall.sh --purge removes them)"
fi
