//! Waiting for a condition, which tests do instead of waiting for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `probe` gives something.
///
/// # Panics
/// When it has given nothing `within` that time; `what` says what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    within: Duration,
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        sleep(PAUSE).await;
    }
}
