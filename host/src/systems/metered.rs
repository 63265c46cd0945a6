//! A stream that ends after so many bytes: a server may not fill the daemon's memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes may still be read. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// From now on so many.
    pub(super) fn renew(&self, most: usize) {
        self.0.store(most, Ordering::SeqCst);
    }

    /// Takes some of it, where there is enough.
    fn take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }
}

/// A stream of which only so many bytes are read.
#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: S,
    allowance: Allowance,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, most: usize) -> Self {
        let allowance = Allowance::default();
        allowance.renew(most);
        Self::within(inner, allowance)
    }

    /// A stream whose allowance is renewed with each question.
    pub(super) fn within(inner: S, allowance: Allowance) -> Self {
        Self { inner, allowance }
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
        if self.allowance.take(read) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(io::Error::other("the server sends more than is taken")))
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

    #[tokio::test]
    async fn each_question_has_an_allowance_of_its_own() {
        let (allowance, mut some) = (Allowance::default(), [0; 40]);
        let mut stream = Metered::within(&[7_u8; 100][..], allowance.clone());
        allowance.renew(40);
        stream.read_exact(&mut some).await.expect("as much as was agreed");
        allowance.renew(40);
        stream.read_exact(&mut some).await.expect("and as much again");
        assert!(stream.read_u8().await.is_err(), "one more than was agreed");
    }
}
