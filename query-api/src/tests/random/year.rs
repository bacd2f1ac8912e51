//! The year that all random tests ask about: made once, and gone with the last of them.

use std::sync::{Arc, OnceLock, Weak};

use platform::{database::Role, test_support::TestDatabase};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::Timestamp;
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::events;
use crate::tests::world::{World, at};

static YEAR: Mutex<Weak<Year>> = Mutex::const_new(Weak::new());

struct Year {
    database: Arc<TestDatabase>,
    watermark: Timestamp,
}

/// What a test needs: its own service and connections, which belong to its runtime, and its
/// own random numbers, so that it does the same alone as among others.
pub(super) struct Asking {
    pub(super) world: World,
    pub(super) owner: PgPool,
    pub(super) watermark: Timestamp,
    pub(super) random: StdRng,
    /// How many sets of parameters are to be tried.
    pub(super) cases: u64,
    /// Keeps it for tests that begin before this one ends.
    _year: Arc<Year>,
}

impl Asking {
    /// Makes the year unless another test has. `what` tells tests apart.
    pub(super) async fn about(what: &str) -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        let seed = *SEED.get_or_init(|| setting("QUERY_SEED", rand::random()));
        println!("QUERY_SEED={seed}");
        let year = year(seed).await;
        let own = what.bytes().fold(seed, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let pool = year.database.pool(Role::Api).await;
        Self {
            world: World::over(Arc::clone(&year.database), pool),
            owner: year.database.pool(Role::Owner).await,
            watermark: year.watermark,
            random: StdRng::seed_from_u64(own),
            cases: setting("QUERY_CASES", 200),
            _year: year,
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

async fn year(seed: u64) -> Arc<Year> {
    let mut made = YEAR.lock().await;
    if let Some(year) = made.upgrade() {
        return year;
    }
    let random = &mut StdRng::seed_from_u64(seed);
    let database = TestDatabase::create().await;
    let started = std::time::Instant::now();
    events::store(&database, random).await;
    let sink = database.pool(Role::Sink).await;
    // The last days are open.
    let open = random.random_range(86_400..20 * 86_400);
    let watermark = at(events::TO).saturating_add_seconds(-open);
    events::say_watermark(&sink, watermark).await;
    println!("a year in {:?}", started.elapsed());
    let year = Arc::new(Year {
        database: database.into(),
        watermark,
    });
    *made = Arc::downgrade(&year);
    year
}
