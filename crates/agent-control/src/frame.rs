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

    /// Sends one message.
    pub(crate) async fn write(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(0);
        self.stream.write_all(&bytes).await
    }

    /// Sends one message if the socket takes it at once, for a peer that gets no time.
    pub(crate) fn try_write(stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(0);
        stream.try_write(&bytes).map(drop)
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
