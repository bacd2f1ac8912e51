//! The right answer, the plain way, and what a side wrote.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use platform::{
    kafka::{
        log_reader::{LogReader, LogRecord, Step},
        registry::split,
    },
    test_support::kafka,
};
use schemas::{
    codec::{WriterSchema, decode_rollups, rollup_schema},
    event::Status,
};
use uuid::Uuid;

use super::progress::{Ends, ends};
use crate::harness::Options;

const MINUTE: i64 = 60_000_000;

/// Organization, user, name, and the start of the minute in microseconds.
type Key = (Uuid, Uuid, String, i64);
/// Count, errors, sum, minimum and maximum.
pub(super) type Sum = [u64; 5];
const NOTHING: Sum = [0, 0, 0, u64::MAX, 0];

/// Sums by minute and finest series.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::stages) struct Minutes(HashMap<Key, Sum>);

impl Minutes {
    /// Of the first `events` of the workload.
    pub(in crate::stages) fn of(options: &Options, events: u64) -> Self {
        let mut workload = options.workload();
        let mut by_number: HashMap<(u32, i64), Sum> = HashMap::new();
        for _ in 0..events {
            let draft = workload.draft();
            let minute = draft.timestamp_micros.div_euclid(MINUTE) * MINUTE;
            let millis = u64::from(draft.millis);
            let errors = u64::from(draft.status == Status::Error);
            let sum = by_number.entry((draft.series, minute)).or_insert(NOTHING);
            add(sum, [1, errors, millis, millis, millis]);
        }
        let rows = by_number.into_iter().map(|((series, minute), sum)| {
            let series = &workload.series()[series as usize];
            let name = series.name.clone();
            ((series.organization, series.user, name, minute), sum)
        });
        Self(rows.collect())
    }

    /// That `found` is the same.
    ///
    /// # Errors
    /// A difference.
    pub(super) fn check(&self, found: &Self) -> anyhow::Result<()> {
        for (key, sum) in &found.0 {
            let expected = self.0.get(key);
            ensure!(
                expected == Some(sum),
                "a wrong answer: {key:?} {sum:?}, expected {expected:?}"
            );
        }
        let (found, expected) = (found.0.len(), self.0.len());
        ensure!(
            found == expected,
            "a wrong answer: {found} rows, expected {expected}"
        );
        Ok(())
    }
}

fn add(sum: &mut Sum, more: Sum) {
    for (index, more) in more.into_iter().enumerate() {
        sum[index] = match index {
            3 => sum[index].min(more),
            4 => sum[index].max(more),
            _ => sum[index] + more,
        };
    }
}

/// The topics that a side writes, and where they ended before it did.
pub(in crate::stages) struct Output {
    admitted: (String, Ends),
    sums: (String, Ends),
}

impl Output {
    /// From now on.
    pub(in crate::stages) fn begin(admitted: &str, sums: &str) -> anyhow::Result<Self> {
        let begin = |topic: &str| Ok::<_, anyhow::Error>((topic.to_owned(), ends(topic)?));
        Ok(Self {
            admitted: begin(admitted)?,
            sums: begin(sums)?,
        })
    }

    /// How many events were forwarded since.
    ///
    /// # Errors
    /// If the topic cannot be read.
    pub(super) fn forwarded(&self) -> anyhow::Result<u64> {
        let mut count = 0;
        read(&self.admitted, |record| {
            count += u64::from(record.value.is_some());
            Ok(())
        })?;
        Ok(count)
    }

    /// Our deltas since, added up.
    ///
    /// # Errors
    /// If the topic cannot be read.
    pub(super) fn of_deltas(&self) -> anyhow::Result<Minutes> {
        let schema = WriterSchema::parse(rollup_schema()).map_err(anyhow::Error::msg)?;
        let mut minutes = Minutes::default();
        read(&self.sums, |record| {
            // A watermark.
            let Some(value) = &record.value else {
                return Ok(());
            };
            let batch = decode_rollups(&schema, split(value, None)?.1)?;
            for entry in batch.entries {
                let (minute, series, rollup) = entry.into_parts()?;
                let user = series.user_id.context("a delta of no user")?;
                let key = (batch.organization_id, user, series.name, minute.micros());
                let time = rollup.execution_time.as_ref();
                let time = time.context("a delta without times")?;
                let errors = rollup.with_status(Status::Error);
                let sum = minutes.0.entry(key).or_insert(NOTHING);
                add(sum, [rollup.count, errors, time.sum, time.min, time.max]);
            }
            Ok(())
        })?;
        Ok(minutes)
    }

    /// The peer's sums, of which the last that it wrote of a user and minute counts.
    ///
    /// # Errors
    /// If the topic cannot be read, or holds something else.
    pub(super) fn of_updates(&self) -> anyhow::Result<Minutes> {
        let mut minutes = Minutes::default();
        read(&self.sums, |record| {
            let key = record.key.as_deref().unwrap_or_default();
            let (text, start) = key.split_last_chunk::<8>().context("a short key")?;
            let minute = i64::from_be_bytes(*start) * 1_000;
            let text = std::str::from_utf8(text)?;
            let (organization, user) = text.split_once(':').context("a key without a colon")?;
            let (organization, user) = (organization.parse()?, user.parse()?);
            let mut rest = record.value.as_deref().unwrap_or_default();
            while !rest.is_empty() {
                let (name, sum) = next(&mut rest).context("a value that ends early")?;
                let name = String::from_utf8(name.to_vec())?;
                minutes.0.insert((organization, user, name, minute), sum);
            }
            Ok(())
        })?;
        Ok(minutes)
    }
}

/// A name and its sums from the front of a peer's value.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Sum)> {
    let (length, tail) = rest.split_first_chunk::<2>()?;
    let (name, mut tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let mut sum = NOTHING;
    for number in &mut sum {
        let (bytes, after) = tail.split_first_chunk::<8>()?;
        *number = u64::from_be_bytes(*bytes);
        tail = after;
    }
    *rest = tail;
    Some((name, sum))
}

/// The records that were written since.
fn read(
    (topic, starts): &(String, Ends),
    mut each: impl FnMut(&LogRecord) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let ranges = ends(topic)?.into_iter().map(|(partition, end)| {
        let start = starts.get(&partition).copied().unwrap_or(0);
        (partition, (start, end))
    });
    let mut log = LogReader::open_at(&kafka(), "unused", topic, &ranges.collect())?;
    loop {
        match log.poll()? {
            Step::Record(record) => each(&record)?,
            Step::Waiting => {}
            Step::End => return Ok(()),
        }
    }
}
