//! A stream that ends after so many bytes: a server may not fill the daemon's memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of which only so many bytes are read.
#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: S,
    left: usize,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, most: usize) -> Self {
        Self { inner, left: most }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = buffer.filled().len().saturating_sub(before);
        match self.left.checked_sub(read) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(io::Error::other("the server sends more than is taken"))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn no_more_is_read_than_was_agreed() {
        let mut all = Vec::new();
        Metered::new(&[7_u8; 100][..], 100).read_to_end(&mut all).await.expect("just enough");
        assert_eq!(all.len(), 100);
        let error =
            Metered::new(&[7_u8; 101][..], 100).read_to_end(&mut all).await.expect_err("one too many");
        assert!(error.to_string().contains("more than is taken"), "{error}");
    }
}
