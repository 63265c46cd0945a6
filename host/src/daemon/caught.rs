//! Catches the panic of a task, so that its target does not wait for ever.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What came of a task, in the task that asks; none where it panicked.
pub(super) async fn caught<T>(task: impl Future<Output = T>) -> Option<T> {
    let mut task = pin!(task);
    // After a panic it is not polled again, and what it held is dropped with it.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer_at_once_and_later() {
        assert_eq!(caught(async { 7 }).await, Some(7));
        let later = caught(async {
            tokio::task::yield_now().await;
            8
        });
        assert_eq!(later.await, Some(8));
        assert_eq!(caught(async { panic!("on purpose") }).await, None::<()>);
        let later = caught(async {
            tokio::task::yield_now().await;
            panic!("on purpose")
        });
        assert_eq!(later.await, None::<()>);
    }
}
