//! Work that takes the processor for milliseconds: decompressing, parsing large bodies.

use std::{
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

/// As many at once as there are processors. More would not end sooner, and each has
/// working memory of its own (a decompressor's window, a parsed body).
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    Arc::new(Semaphore::new(
        available_parallelism().map_or(2, usize::from),
    ))
});

/// Runs `work` away from the threads that serve everybody, at most as many at once as there
/// are processors. Once begun it is finished, also when nobody waits for it any more.
///
/// # Errors
/// When `work` panicked, or the runtime is ending.
pub async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let permit = Arc::clone(&AT_ONCE).acquire_owned().await;
    spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_runs_at_once_than_there_are_processors() {
        let most = available_parallelism().unwrap().get();
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..50_usize).map(|at| {
            let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
            run(move || {
                peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                at
            })
        });
        let done = futures_util::future::try_join_all(works).await.unwrap();
        assert_eq!(done, (0..50).collect::<Vec<_>>());
        assert!(peak.load(Ordering::SeqCst) <= most);
    }

    #[tokio::test]
    async fn a_panic_frees_its_place() {
        for _ in 0..50 {
            assert!(run(|| panic!("expected")).await.is_err());
        }
        assert_eq!(run(|| 1).await.unwrap(), 1);
    }
}
