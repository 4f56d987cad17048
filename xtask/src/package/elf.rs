//! What a program is made for, read from its first bytes, and which glibc it needs.

/// A machine that packages are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    LinuxX86,
    LinuxArm,
    MacArm,
    MacX86,
}

impl Machine {
    /// Reads the header of an ELF or Mach-O file.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        if bytes.starts_with(b"\x7fELF\x02\x01") {
            // e_machine: EM_X86_64, EM_AARCH64.
            return match half(18)? {
                62 => Some(Self::LinuxX86),
                183 => Some(Self::LinuxArm),
                _ => None,
            };
        }
        // MH_MAGIC_64, then cputype: the family, and above it that it is of 64 bits.
        match (bytes.starts_with(b"\xcf\xfa\xed\xfe"), half(4)?) {
            (true, 12) => Some(Self::MacArm),
            (true, 7) => Some(Self::MacX86),
            _ => None,
        }
    }

    pub(super) fn is_linux(self) -> bool {
        matches!(self, Self::LinuxX86 | Self::LinuxArm)
    }

    /// Whether its programs run on the machine that this runs on.
    pub(super) fn is_this(self) -> bool {
        self.name() == format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LinuxX86 => "x86_64-linux",
            Self::LinuxArm => "aarch64-linux",
            Self::MacArm => "aarch64-macos",
            Self::MacX86 => "x86_64-macos",
        }
    }

    pub(super) fn deb(self) -> &'static str {
        if self == Self::LinuxArm { "arm64" } else { "amd64" }
    }

    pub(super) fn rpm(self) -> &'static str {
        if self == Self::LinuxArm { "aarch64" } else { "x86_64" }
    }
}

/// The newest version of glibc that a symbol is asked of, such as `2.34`; empty where none is.
///
/// Versions stand as plain text in the table of dynamic names; nothing else in a program looks like them.
pub(super) fn glibc(bytes: &[u8]) -> String {
    const MARK: &[u8] = b"GLIBC_2.";
    let mut found = String::new();
    for (at, _) in bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK) {
        let version = bytes.get(at + MARK.len() - 2..).unwrap_or_default();
        let end =
            version.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(version.len());
        let version = version.get(..end).unwrap_or_default();
        found = newest(found, String::from_utf8_lossy(version).into_owned());
    }
    found
}

/// The later of two versions.
pub(super) fn newest(a: String, b: String) -> String {
    let numbers = |text: &str| text.split('.').filter_map(|part| part.parse().ok()).collect::<Vec<u32>>();
    if numbers(&b) > numbers(&a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_by_their_headers() {
        let elf = |machine: u8| [b"\x7fELF\x02\x01".as_slice(), &[0; 12], &[machine, 0]].concat();
        for (bytes, machine) in [
            (elf(62), Some(Machine::LinuxX86)),
            (elf(183), Some(Machine::LinuxArm)),
            (elf(8), None),
            (b"\xcf\xfa\xed\xfe\x0c\0\0\x01".to_vec(), Some(Machine::MacArm)),
            (b"\xcf\xfa\xed\xfe\x07\0\0\x01".to_vec(), Some(Machine::MacX86)),
            (b"#!/bin/sh\n".to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(Machine::of(&bytes), machine, "{bytes:?}");
        }
    }

    #[test]
    fn the_newest_glibc_counts_as_numbers() {
        assert_eq!(glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0"), "2.34");
        assert_eq!(glibc(b"GLIBC_2.17"), "2.17");
        assert_eq!(glibc(b"static"), "");
    }
}
