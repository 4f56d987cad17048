//! What a machine says of itself, without asking anybody.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use agent_management::inventory::Host;
use jiff::Timestamp;
use trust_core::Fingerprint;

/// What is known of this machine.
#[must_use]
pub fn host(now: Timestamp) -> Host {
    let system = rustix::system::uname();
    let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
    Host {
        id: id(),
        name: name(),
        os: os().unwrap_or_else(|| text(system.sysname())),
        kernel: text(system.release()),
        architecture: text(system.machine()),
        booted: booted(now),
        addresses: addresses(),
    }
}

/// The machine's name.
#[must_use]
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A name of this installation that tells nothing about it: of the machine id, which must not leave the machine, a hash
/// that is used here alone.
#[must_use]
pub fn id() -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_else(|_| name());
    let text = format!("agentd endpoint {}", machine.trim());
    let mut hash = Fingerprint::of(text.as_bytes()).to_string();
    hash.truncate(32);
    hash
}

fn os() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
    let text = text.ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(target_os = "linux")]
fn booted(now: Timestamp) -> Option<Timestamp> {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.checked_sub(std::time::Duration::from_secs(u64::try_from(up.tv_sec).ok()?)).ok()
}

#[cfg(not(target_os = "linux"))]
fn booted(_now: Timestamp) -> Option<Timestamp> {
    None
}

/// Its addresses, but for loopback and those of one link. Where the kernel does not list them in files, those that it
/// would send from.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = fs::read_to_string("/proc/self/net/fib_trie")
        .map(|text| local_v4(&text).into_iter().map(IpAddr::V4).collect())
        .unwrap_or_default();
    if let Ok(text) = fs::read_to_string("/proc/self/net/if_inet6") {
        found.extend(local_v6(&text).into_iter().map(IpAddr::V6));
    }
    if found.is_empty() {
        found = source_addresses();
    }
    found.retain(|address| match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    });
    found.sort();
    found.dedup();
    found
}

/// The routing trie shows an address on one line and what it is on the next.
fn local_v4(text: &str) -> Vec<Ipv4Addr> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| pair[1] == "/32 host LOCAL")
        .filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse().ok())
        .collect()
}

/// Each line begins with the 32 hex digits of an address.
fn local_v6(text: &str) -> Vec<Ipv6Addr> {
    let digits = text.lines().filter_map(|line| line.split_whitespace().next());
    digits.filter_map(|digits| u128::from_str_radix(digits, 16).ok()).map(Ipv6Addr::from).collect()
}

/// The addresses from which a packet would leave; none is sent.
fn source_addresses() -> Vec<IpAddr> {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")]
        .into_iter()
        .filter_map(|(from, to)| {
            let socket = std::net::UdpSocket::bind(from).ok()?;
            socket.connect(to).ok()?;
            Some(socket.local_addr().ok()?.ip())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\n\
                    \x20    |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_v4(trie), [Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::LOCALHOST]);
        let v6 = "00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000009 02 40 00 80 eth0\nx\n";
        assert_eq!(local_v6(v6), [Ipv6Addr::LOCALHOST, "fd00::9".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn this_machine() {
        let host = host(Timestamp::now());
        assert_eq!(host.id.len(), 32);
        assert!(!host.name.is_empty() && !host.os.is_empty() && !host.kernel.is_empty());
        if cfg!(target_os = "linux") {
            assert!(host.booted.is_some_and(|at| at < Timestamp::now()));
        }
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        assert!(machine.trim().is_empty() || !host.id.contains(machine.trim()), "the machine id stays here");
    }
}
