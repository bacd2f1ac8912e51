//! Processor time, as Linux tells it.

use sqlx::PgPool;

/// Clock ticks of a second in `/proc`: 100 on every Linux.
const TICKS: f64 = 100.0;

/// The processor time of a process, from a moment on.
pub(crate) struct CpuClock {
    process: String,
    began: f64,
}

impl CpuClock {
    /// This process, from now on.
    pub(crate) fn own() -> Self {
        let mut clock = Self::of("self");
        clock.began = clock.seconds();
        clock
    }

    /// A process, from its beginning on.
    fn of(process: impl ToString) -> Self {
        let process = process.to_string();
        Self {
            process,
            began: 0.0,
        }
    }

    pub(crate) fn elapsed(&self) -> f64 {
        self.seconds() - self.began
    }

    /// Since the process began; 0 if it is not of this machine.
    pub(crate) fn seconds(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.process);
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th
        // after it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let fields = fields.split_whitespace().skip(11).take(2);
        fields.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / TICKS
    }
}

/// The server's processes of the sinks of this database.
pub(crate) async fn backends(pool: &PgPool) -> Vec<CpuClock> {
    let sql = "select pid from pg_stat_activity \
         where datname = current_database() and application_name = 'flowmeter-sink'";
    let pids: Vec<i32> = sqlx::query_scalar(sql)
        .fetch_all(pool)
        .await
        .expect("the database answers");
    pids.into_iter().map(CpuClock::of).collect()
}

/// The server's process of a connection.
pub(crate) fn backend(pid: i32) -> CpuClock {
    let mut clock = CpuClock::of(pid);
    clock.began = clock.seconds();
    clock
}
