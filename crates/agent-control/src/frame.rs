//! The transport: one JSON object and a NUL byte, read with a bound.
//!
//! Plain `read` on purpose: without room for control data the kernel drops file descriptors that a peer sends along.
//! Received, they would be ours to close, and closing one of a dead FUSE mount never returns.

use std::io;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Read at once; requests are far smaller, long replies take a few rounds.
const CHUNK: usize = 16 * 1024;

/// A message with its NUL.
pub(crate) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(0);
    Ok(bytes)
}

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The bound was met before the message ended.
    #[error("a message is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// The peer closed inside a message.
    #[error("the connection ended inside a message")]
    CutOff,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A connection that carries messages.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: UnixStream,
    /// Read and not yet returned.
    buffer: Vec<u8>,
    /// So far into `buffer` there is no NUL.
    scanned: usize,
    max: usize,
}

impl Frames {
    /// Messages read from `stream` may have `max` bytes.
    pub(crate) fn new(stream: UnixStream, max: usize) -> Self {
        Self { stream, buffer: Vec::new(), scanned: 0, max }
    }

    /// The next message without its NUL; `None` where the peer closed after a whole one. Cancel safe.
    pub(crate) async fn read(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            if let Some(end) = self.buffer[self.scanned..].iter().position(|byte| *byte == 0) {
                let rest = self.buffer.split_off(self.scanned + end + 1);
                let mut message = std::mem::replace(&mut self.buffer, rest);
                message.pop();
                self.scanned = 0;
                if message.len() > self.max {
                    return Err(ReadError::TooLong { max: self.max });
                }
                return Ok(Some(message));
            }
            self.scanned = self.buffer.len();
            if self.scanned > self.max {
                return Err(ReadError::TooLong { max: self.max });
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ReadError::CutOff) };
            }
        }
    }

    /// Sends one encoded message.
    pub(crate) async fn write(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(message).await
    }

    /// Waits until the peer closes or says something out of turn. Cancel safe.
    pub(crate) async fn interrupted(&mut self) {
        if self.buffer.is_empty() {
            // Whatever comes, end or byte or failure, is an end.
            drop(self.fill().await);
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(CHUNK.min(self.max + 1));
        self.stream.read_buf(&mut self.buffer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `bytes`, sent in pieces of `piece`, are read as under a bound of 8.
    async fn read_all(bytes: &[u8], piece: usize) -> (Vec<String>, Option<&'static str>) {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let (mut frames, mut messages) = (Frames::new(reader, 8), Vec::new());
        let write = async move {
            for piece in bytes.chunks(piece) {
                // A reader that has enough closes.
                if writer.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            loop {
                match frames.read().await {
                    Ok(Some(message)) => messages.push(String::from_utf8(message).unwrap()),
                    Ok(None) => break None,
                    Err(ReadError::TooLong { max: 8 }) => break Some("long"),
                    Err(ReadError::CutOff) => break Some("cut"),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let ((), end) = tokio::join!(write, read);
        (messages, end)
    }

    #[test]
    fn messages_are_the_same_however_they_arrive() {
        let cases: [(&[u8], &[&str], Option<&str>); 9] = [
            (b"", &[], None),
            (b"a\0", &["a"], None),
            (b"\0\0", &["", ""], None),
            (b"ab\0c\0defghijk\0", &["ab", "c", "defghijk"], None),
            (b"12345678\0", &["12345678"], None),
            (b"123456789\0", &[], Some("long")),
            (b"a\0zz3456789\0b\0", &["a"], Some("long")),
            (b"a\0zz345678901234567890", &["a"], Some("long")),
            (b"a\0bc", &["a"], Some("cut")),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (bytes, messages, end) in cases {
            for piece in 1..=bytes.len().max(1) {
                let read = runtime.block_on(read_all(bytes, piece));
                let expected = messages.iter().map(|message| (*message).to_owned()).collect();
                assert_eq!(read, (expected, end), "{} in pieces of {piece}", bytes.escape_ascii());
            }
        }
    }
}
