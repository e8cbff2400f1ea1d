//! Waiting for several things at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Something that will be there later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

enum Slot<'a, T> {
    Waiting(Later<'a, T>),
    Done(T),
}

/// Runs all to their end; results in the order given. They are begun in that order too, so that
/// transactions of one signer reach the pool in the order of their nonces.
pub async fn join_in_order<T>(futures: Vec<Later<'_, T>>) -> Vec<T> {
    let mut slots: Vec<Slot<'_, T>> = futures.into_iter().map(Slot::Waiting).collect();
    // Boxed futures are Unpin, results are never pinned: moving the slots is fine.
    poll_fn(|context| {
        let mut all_done = true;
        for slot in &mut slots {
            if let Slot::Waiting(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *slot = Slot::Done(value),
                    Poll::Pending => all_done = false,
                }
            }
        }
        if all_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    slots
        .into_iter()
        .filter_map(|slot| match slot {
            Slot::Done(value) => Some(value),
            Slot::Waiting(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn begun_and_answered_in_order_though_they_end_in_another() {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let (first, wait_first) = tokio::sync::oneshot::channel::<()>();
        let one = {
            let begun = Arc::clone(&begun);
            async move {
                begun.lock().unwrap().push(1);
                wait_first.await.unwrap();
                1
            }
        };
        let two = {
            let begun = Arc::clone(&begun);
            async move {
                begun.lock().unwrap().push(2);
                first.send(()).unwrap();
                2
            }
        };
        let futures: Vec<Later<'_, i32>> = vec![Box::pin(one), Box::pin(two)];
        assert_eq!(join_in_order(futures).await, [1, 2]);
        assert_eq!(*begun.lock().unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn nothing_is_done_at_once() {
        assert!(join_in_order(Vec::<Later<'_, ()>>::new()).await.is_empty());
    }
}
