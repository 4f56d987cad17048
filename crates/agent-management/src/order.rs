//! In which order servers are tried.

use std::net::IpAddr;
use std::str::FromStr;

/// What a server is to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It sends policies and takes inventory.
    Management,
    /// It holds packages.
    Site,
}

/// A range of addresses, as `10.1.0.0/16`; an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    bits: u128,
    length: u32,
    is_v6: bool,
}

impl Range {
    /// Whether an address lies in it. An IPv4 address in the form of IPv6 is one of IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let differing = self.width() - self.length;
        self.is_v6 == address.is_ipv6()
            && (bits_of(address) ^ self.bits).checked_shr(differing).unwrap_or(0) == 0
    }

    fn width(&self) -> u32 {
        if self.is_v6 { 128 } else { 32 }
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let wrong =
            || "a range is an address and the number of bits that count, as in \"10.1.0.0/16\"".to_owned();
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = Self { bits: bits_of(address), length: 0, is_v6: address.is_ipv6() };
        let length = match length {
            None => whole.width(),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|length| *length <= whole.width()).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        Ok(Self { length, ..whole })
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// What the configuration says of a server's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub role: Role,
    /// It comes before all others.
    pub favourite: bool,
    /// It is meant for endpoints with an address in one of these; for all where there are none.
    pub ranges: Vec<Range>,
    /// The lower, the earlier.
    pub priority: u32,
}

/// The places of the servers of a role, in the order of trial: favourites; then those that are meant for one of the
/// endpoint's addresses; then those for all; last those that are meant for others, for a server of another site is better
/// than none. Among equals by priority, then as they are configured.
#[must_use]
pub fn order(candidates: &[Candidate], own: &[IpAddr], role: Role) -> Vec<usize> {
    let mut places: Vec<usize> =
        (0..candidates.len()).filter(|&place| candidates[place].role == role).collect();
    places.sort_by_key(|&place| {
        let candidate = &candidates[place];
        let nearness = match (candidate.favourite, candidate.ranges.is_empty()) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false)
                if own.iter().any(|own| candidate.ranges.iter().any(|range| range.contains(*own))) =>
            {
                1
            }
            (false, false) => 3,
        };
        (nearness, candidate.priority, place)
    });
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, address, expected) in [
            ("10.1.0.0/16", "10.1.255.1", true),
            ("10.1.0.0/16", "10.2.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "fd00::1", true),
            ("fd00::/8", "fd12::9", true),
            ("fd00::/8", "fe80::1", false),
            ("10.0.0.0/8", "::ffff:10.2.3.4", true),
            ("10.9.9.9/8", "10.2.3.4", true),
        ] {
            let parsed: Range = range.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), expected, "{range} {address}");
        }
        for bad in ["", "10.1", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "host/8", "10.0.0.0/-1"]
        {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }

    #[test]
    fn favourite_then_near_then_priority_then_place() {
        let server = |ranges: &[&str], priority| Candidate {
            role: Role::Management,
            favourite: false,
            ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
            priority,
        };
        let own = ["10.1.2.3".parse().unwrap(), "fe80::1".parse().unwrap()];
        let candidates = [
            server(&["192.168.0.0/16"], 1),
            server(&[], 50),
            server(&[], 10),
            server(&["172.16.0.0/12", "10.1.0.0/16"], 90),
            Candidate { favourite: true, ..server(&["192.168.0.0/16"], 99) },
            Candidate { role: Role::Site, ..server(&[], 0) },
            server(&[], 10),
        ];
        assert_eq!(order(&candidates, &own, Role::Management), [4, 3, 2, 6, 1, 0]);
        assert_eq!(order(&candidates, &own, Role::Site), [5]);
        assert_eq!(order(&candidates, &[], Role::Management), [4, 2, 6, 1, 0, 3]);
    }
}
