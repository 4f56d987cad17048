//! Where everything that is found goes, within the limits.

use super::{Block, Encoding, Limits, Note, Reason, Reject, Scan, der};

#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) limits: &'a Limits,
    pub(super) scan: Scan,
    /// The line of the first reject that was only counted, and how many they are.
    unlisted: Option<(u32, usize)>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        let scan = Scan {
            encoding: Encoding::Unknown,
            blocks: Vec::new(),
            rejects: Vec::new(),
            notes: Vec::new(),
            ends_inside_block: false,
        };
        Self { limits, scan, unlisted: None }
    }

    /// Says what something is, if nothing before it did.
    pub(super) fn encoding(&mut self, encoding: Encoding) {
        if self.scan.encoding == Encoding::Unknown {
            self.scan.encoding = encoding;
        }
    }

    /// Lists as many rejects as certificates may be; a file of sixteen million bytes can open a million blocks. The others
    /// are counted.
    pub(super) fn reject(&mut self, line: u32, reason: Reason, detail: impl Into<String>) {
        if self.scan.rejects.len() < self.limits.max_certificates {
            self.scan.rejects.push(Reject { line, reason, detail: detail.into() });
        } else {
            self.unlisted.get_or_insert((line, 0)).1 += 1;
        }
    }

    /// Notes a conversion; kept short, for a file may give cause for one at every line.
    pub(super) fn note(&mut self, note: Note) {
        if !self.scan.notes.contains(&note) {
            self.scan.notes.push(note);
        }
    }

    /// Takes a certificate, or says why not. `false` once the file has more than the limit.
    pub(super) fn take(&mut self, der: &[u8], line: u32) -> bool {
        let limits = self.limits;
        if let Err(detail) = der::exact(der) {
            self.reject(line, Reason::NotX509, detail);
        } else if der.len() > limits.max_certificate_bytes {
            let detail = format!(
                "the certificate has {} bytes, the limit is {}",
                der.len(),
                limits.max_certificate_bytes
            );
            self.reject(line, Reason::TooLarge, detail);
        } else if self.scan.blocks.len() >= limits.max_certificates {
            let detail = format!(
                "the limit is {} certificates in one file: this and all after it were not taken; raise max-certificates \
                 in [sources]",
                limits.max_certificates
            );
            self.scan.rejects.push(Reject { line, reason: Reason::TooMany, detail });
            return false;
        } else {
            // Fits: a file has fewer than 2^32 certificates, whatever the limit.
            let position = u32::try_from(self.scan.blocks.len() + 1).unwrap_or(u32::MAX);
            self.scan.blocks.push(Block { der: der.to_vec(), line, position });
        }
        true
    }

    /// All that was found, in the order of the file.
    pub(super) fn finish(self) -> Scan {
        let mut scan = self.scan;
        if let Some((line, count)) = self.unlisted {
            let detail = format!("from here on {count} more blocks were not taken; too many to list them");
            scan.rejects.push(Reject { line, reason: Reason::TooMany, detail });
        }
        scan.rejects.sort_by_key(|reject| reject.line);
        scan.notes.sort_unstable();
        scan
    }
}
