//! Connections with limits: how many, how long they may be silent, how long a request may take.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::limits::RpcLimits;

/// Pause after the system refused a connection for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that takes a connection only when there is a place for it.
pub struct GuardedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    request_time: Duration,
    idle_time: Duration,
}

impl GuardedListener {
    /// Puts limits on a listener.
    pub fn new(listener: TcpListener, limits: &RpcLimits) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(limits.max_connections.max(1))),
            request_time: limits.request_time,
            idle_time: limits.idle_time,
        }
    }
}

impl axum::serve::Listener for GuardedListener {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                // The places are never closed.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, addr)) => {
                    // Answers are written whole; waiting for more to send would only delay them.
                    let _ = stream.set_nodelay(true);
                    return (Guarded::new(stream, place, self.request_time, self.idle_time), addr);
                }
                Err(error) => {
                    tracing::warn!(%error, "the system refused an RPC connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends itself when its client takes too long.
///
/// A request begins with its first byte and ends with the first byte of its answer; in between only the
/// request time counts, however slowly bytes drip in. Outside of requests the idle time counts, anew
/// with every byte that the client takes.
pub struct Guarded {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    in_request: bool,
    request_time: Duration,
    idle_time: Duration,
    _place: OwnedSemaphorePermit,
}

impl Guarded {
    fn new(
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        request_time: Duration,
        idle_time: Duration,
    ) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + idle_time));
        Self { stream, deadline, in_request: false, request_time, idle_time, _place: place }
    }

    fn wrote(&mut self) {
        self.in_request = false;
        self.deadline.as_mut().reset(Instant::now() + self.idle_time);
    }

    /// Not ready yet: also an error once the time is up.
    fn pending<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(context, buffer) else {
            return self.pending(context);
        };
        result?;
        if buffer.filled().len() > before {
            if !self.in_request {
                self.in_request = true;
                let until = Instant::now() + self.request_time;
                self.deadline.as_mut().reset(until);
            } else if self.deadline.is_elapsed() || self.deadline.deadline() <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(result) => {
                self.wrote();
                Poll::Ready(result)
            }
            Poll::Pending => self.pending(context),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, slices) {
            Poll::Ready(result) => {
                self.wrote();
                Poll::Ready(result)
            }
            Poll::Pending => self.pending(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
