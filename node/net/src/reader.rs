//! Reads frames from a stream at the pace that a peer may have, within the room that there is.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use crate::config::Limits;
use crate::frame::{Decoder, FrameError, Kind, Step};
use crate::inbox::{Room, SMALL_FRAME_BYTES};
use crate::limits::{TokenBucket, rate_for};
use crate::transport::{LinkError, Receiver};

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;
/// The slowest peer that may still send large frames, in bytes a second; a frame that takes longer than the
/// stall time and its length at this speed holds memory for nothing.
const SLOWEST_BYTES_PER_SECOND: usize = 32 << 10;

/// Why a connection must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has ended already.
    Lost,
    /// The peer broke the protocol.
    Protocol(String),
    /// The peer takes or sends nothing for too long.
    Slow,
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<LinkError> for Fault {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Closed => Self::Lost,
            LinkError::Reset => {
                Self::Protocol("the peer gave up a stream that lasts as long as the connection".into())
            }
            LinkError::Stalled => Self::Slow,
        }
    }
}

/// How fast a peer may send on one stream.
#[derive(Debug)]
pub(crate) struct Pace {
    frames: TokenBucket,
    bytes: TokenBucket,
}

impl Pace {
    pub(crate) fn new(limits: &Limits, reserved: bool) -> Self {
        let now = Instant::now();
        Self {
            frames: TokenBucket::new(rate_for(limits.frames_from_peer, reserved), now),
            bytes: TokenBucket::new(rate_for(limits.bytes_from_peer, reserved), now),
        }
    }

    /// How long to wait before reading a frame of `len` bytes.
    fn charge(&mut self, len: usize, now: Instant) -> Duration {
        self.frames.take(1, now).max(self.bytes.take(len, now))
    }
}

/// A frame and the room it takes up.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) payload: Bytes,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// A stream as frames.
pub(crate) struct FrameReader {
    stream: Receiver,
    decoder: Decoder,
    /// Read from the stream and not yet decoded.
    input: Bytes,
    stall: Duration,
    /// When the frame that has begun must be complete.
    deadline: Option<Instant>,
    was_reset: bool,
}

impl FrameReader {
    /// Reads frames of the `allowed` kinds; `stall` is the time that a small frame may take.
    pub(crate) fn new(stream: Receiver, allowed: &'static [Kind], stall: Duration) -> Self {
        let decoder = Decoder::new(allowed);
        Self { stream, decoder, input: Bytes::new(), stall, deadline: None, was_reset: false }
    }

    /// Whether the peer gave up the stream: on a stream for one request that is no fault.
    pub(crate) fn was_reset(&self) -> bool {
        self.was_reset
    }

    /// From the next frame on, other kinds belong on the stream. Call it between frames.
    pub(crate) fn allow(&mut self, allowed: &'static [Kind]) {
        self.decoder = Decoder::new(allowed);
    }

    /// The next frame, or `None` at the end of the stream. Cancel-safe between frames only.
    pub(crate) async fn next(
        &mut self,
        room: &Room,
        mut pace: Option<&mut Pace>,
    ) -> Result<Option<Frame>, Fault> {
        let mut held = None;
        loop {
            match self.decoder.push(&mut self.input)? {
                Step::Frame { kind, payload } => {
                    self.deadline = None;
                    return Ok(Some(Frame { kind, payload, room: held }));
                }
                Step::Header { len } => {
                    if let Some(pace) = pace.as_deref_mut() {
                        let wait = pace.charge(len, Instant::now());
                        if !wait.is_zero() {
                            tokio::time::sleep(wait).await;
                        }
                    }
                    if len > SMALL_FRAME_BYTES {
                        held = room.take(len).await;
                    }
                    // Waiting here was not the peer's fault: its time starts where ours ends.
                    let transfer = Duration::from_secs((len / SLOWEST_BYTES_PER_SECOND) as u64);
                    self.deadline = Some(Instant::now() + self.stall + transfer);
                }
                Step::More => match self.read().await? {
                    Some(bytes) => self.input = bytes,
                    None if self.decoder.is_inside_frame() => {
                        return Err(Fault::Protocol("the stream ends inside a frame".into()));
                    }
                    None => return Ok(None),
                },
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Fault> {
        let read = if self.decoder.is_inside_frame() {
            let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.stall);
            let read = timeout_at(deadline.into(), self.stream.read(READ_BYTES)).await;
            read.map_err(|_| Fault::Slow)?
        } else {
            self.stream.read(READ_BYTES).await
        };
        self.was_reset = read == Err(LinkError::Reset);
        Ok(read?)
    }
}
