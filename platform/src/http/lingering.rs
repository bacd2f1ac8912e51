//! A connection that ends so that its last answer arrives.
//!
//! Who answers before the whole body was read (413, 503) and then closes the socket makes
//! the kernel send a reset, because unread bytes are waiting; and a reset may take away the
//! answer before the client has read it. So the end of our side is sent first, and what the
//! client still sends is read and thrown away for a while (RFC 9112, section 9.6).
//!
//! And one that ends when the client has not taken anything for too long: whoever asks for
//! much and reads nothing would hold a connection, and what is to be written to it, for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// How long the client may take to notice.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a client may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(30);

/// How much is read at once and thrown away.
const SCRAP: usize = 8 * 1024;

/// A stream whose shutdown lingers.
pub(super) struct Lingering {
    stream: TcpStream,
    /// Set when our side is closed: until when the other may send.
    until: Option<Pin<Box<Sleep>>>,
    /// Set while the client takes nothing: until when it may.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            until: None,
            stalled: None,
        }
    }

    /// What a write came to; an error when there was none for too long.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut stream = Pin::new(&mut this.stream);
        if this.until.is_none() {
            ready!(stream.as_mut().poll_shutdown(cx))?;
        }
        let until = this.until.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        loop {
            // Before each read, so that a client that never stops sending does not keep us.
            if until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut scrap = [0; SCRAP];
            let mut scrap = ReadBuf::new(&mut scrap);
            match ready!(stream.as_mut().poll_read(cx, &mut scrap)) {
                Ok(()) if scrap.filled().is_empty() => return Poll::Ready(Ok(())),
                Ok(()) => {}
                // Whoever has gone needs no answer.
                Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_of_what_it_is_sent_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut lingering = Lingering::new(accepted.unwrap().0);
        let megabyte = vec![0; 1 << 20];
        let began = tokio::time::Instant::now();
        let error = loop {
            if let Err(error) = lingering.write_all(&megabyte).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALL);
        drop(client);
    }
}
