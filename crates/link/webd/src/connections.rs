//! Connections of the page's readers, bounded in number and in time, so that whoever opens many and says little shuts nobody out.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Connections at once; the next one ends the oldest. A browser opens six.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may last. A page takes milliseconds, and a browser opens another one without a word.
const LIFETIME: Duration = Duration::from_secs(30);

/// Pause where no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener.
pub struct Bounded {
    listener: TcpListener,
    open: VecDeque<oneshot::Sender<()>>,
}

impl Bounded {
    /// Over a listener.
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, open: VecDeque::new() }
    }
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            self.open.retain(|other| !other.is_closed());
            while self.open.len() >= CONNECTIONS_MAX {
                // Dropping its end ends the connection.
                self.open.pop_front();
            }
            let (keep, ended) = oneshot::channel();
            self.open.push_back(keep);
            return (Connection { stream, ended, late: Box::pin(tokio::time::sleep(LIFETIME)) }, address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when its time is over or its place is needed.
pub struct Connection {
    stream: TcpStream,
    ended: oneshot::Receiver<()>,
    late: Pin<Box<Sleep>>,
}

impl Connection {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let over =
            Pin::new(&mut self.ended).poll(context).is_ready() || self.late.as_mut().poll(context).is_ready();
        if over { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
