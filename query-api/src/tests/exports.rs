//! Exports hold what their caller may read, whole, in every form.

use std::{collections::BTreeMap, io::Read};

use ::parquet::{
    file::{reader::FileReader, serialized_reader::SerializedFileReader},
    record::Field,
};
use bytes::Bytes;
use platform::{auth::Role, database};
use serde_json::Value;
use sqlx::PgPool;

use super::{
    raw::{Caller, KINDS, RANGE, TEXTS, ask, escaped, expected, get, offsets, store},
    world::World,
};

async fn filled(rows: i32) -> (World, PgPool) {
    let world = World::with(&[]).await;
    let owner = world.database.pool(database::Role::Owner).await;
    store(&owner, 1, rows).await;
    (world, owner)
}

pub(super) fn lines(body: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(body).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn ndjson(world: &World, caller: &Caller, query: &str) -> Vec<Value> {
    let path = format!("/api/metrics/export/ndjson?{query}");
    let (status, _, body) = get(world, &caller.token(world), &path, &[]).await;
    assert_eq!(status, 200, "{query}");
    lines(&body)
}

#[tokio::test]
async fn everybody_exports_what_the_permission_table_says() {
    let (world, owner) = filled(700).await;
    for caller in Caller::all() {
        let token = caller.token(&world);
        for (kind, table) in KINDS {
            let query = format!("kind={kind}&{RANGE}");
            if caller.role == Role::Viewer {
                let path = format!("/api/metrics/export/csv?{query}");
                let (status, problem) = ask(&world, &token, &path).await;
                assert_eq!(
                    (status, &problem["code"]),
                    (403, &"role_not_allowed".into())
                );
                continue;
            }
            let rows = ndjson(&world, &caller, &query).await;
            let all = expected(&owner, table, &caller, "true", "asc").await;
            assert_eq!(offsets(&rows), all, "{caller:?} {kind}");
        }
    }
    let filtered = format!("kind=agents&{RANGE}&model=model-1&status=cancelled&q=refused");
    let rows = ndjson(&world, &Caller::admin(), &filtered).await;
    let condition = "model = 'model-1' and status = 'cancelled' and \
        concat(agent_name, interaction_type, error_message) like '%refused%'";
    let all = expected(
        &owner,
        "agent_interactions",
        &Caller::admin(),
        condition,
        "asc",
    )
    .await;
    assert_eq!(offsets(&rows), all);
    assert!(!all.is_empty());
}

#[tokio::test]
async fn every_form_says_the_same_and_what_it_is() {
    let (world, _owner) = filled(300).await;
    let caller = Caller::admin();
    let token = caller.token(&world);
    for (kind, _) in KINDS {
        let rows = ndjson(&world, &caller, &format!("kind={kind}&{RANGE}")).await;
        assert_eq!(rows.len(), 240);
        for (format, media) in [
            ("json", "application/json"),
            ("csv", "text/csv; charset=utf-8; header=present"),
            ("ndjson", "application/x-ndjson"),
            ("parquet", "application/vnd.apache.parquet"),
        ] {
            let path = format!("/api/metrics/export/{format}?kind={kind}&{RANGE}");
            let (status, headers, body) = get(&world, &token, &path, &[]).await;
            assert_eq!(status, 200);
            assert_eq!(headers["content-type"], media);
            let name = format!("flowmeter-{kind}-20260301T000000Z-20260302T000000Z.{format}");
            let disposition = format!("attachment; filename=\"{name}\"");
            assert_eq!(headers["content-disposition"], disposition.as_str());
            assert_eq!(headers["flowmeter-end-date"], "2026-03-02T00:00:00Z");
            match format {
                "json" => assert_eq!(
                    serde_json::from_slice::<Value>(&body).unwrap(),
                    Value::Array(rows.clone())
                ),
                "csv" => {
                    let defused = same_as_csv(&rows, &body);
                    let hostile = kind == "commands" || kind == "agents";
                    assert!(!hostile || defused > TEXTS.len(), "{defused}");
                }
                "ndjson" => assert_eq!(lines(&body), rows),
                _ => same_as_parquet(&rows, body),
            }
            // In gzip, if that is wanted and of use.
            let wanted = [("accept-encoding", "gzip")];
            let (_, headers, packed) = get(&world, &token, &path, &wanted).await;
            if format == "parquet" {
                assert!(!headers.contains_key("content-encoding"));
                continue;
            }
            assert_eq!(headers["content-encoding"], "gzip");
            let (_, _, plain) = get(&world, &token, &path, &[]).await;
            let mut unpacked = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(&packed[..]);
            reader.read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == plain && packed.len() < plain.len());
        }
    }
    // Of nothing.
    for (format, expected) in [("json", "[]\n"), ("ndjson", "")] {
        let path =
            format!("/api/metrics/export/{format}?kind=agents&end_date=2026-01-01T00:00:00Z");
        let (_, _, body) = get(&world, &token, &path, &[]).await;
        assert_eq!(str::from_utf8(&body).unwrap(), expected);
    }
    let path = "/api/metrics/export/xml?kind=agents";
    assert_eq!(ask(&world, &token, path).await.0, 404);
}

/// CSV, read by others' code: every cell is the field, formulas defused. How many were.
pub(super) fn same_as_csv(rows: &[Value], body: &[u8]) -> usize {
    let mut reader = csv::Reader::from_reader(body);
    let names = reader.headers().unwrap().clone();
    let mut read = 0;
    let mut defused = 0;
    for (record, row) in reader.records().zip(rows) {
        let record = record.unwrap();
        read += 1;
        assert_eq!(names.len(), row.as_object().unwrap().len());
        for (name, cell) in names.iter().zip(&record) {
            match &row[name] {
                Value::Null => assert_eq!(cell, ""),
                Value::String(text) if cell != text => {
                    assert_eq!(cell, format!("'{text}"), "{name}");
                    defused += 1;
                }
                Value::String(text) => {
                    assert!(
                        !text.starts_with(['=', '+', '-', '@', '\t', '\r']),
                        "{text}"
                    );
                }
                other => assert_eq!(&serde_json::from_str::<Value>(cell).unwrap(), other),
            }
        }
    }
    assert_eq!(read, rows.len());
    assert!(body.ends_with(b"\r\n"));
    defused
}

/// Parquet, by its reader: every field has its type and value.
pub(super) fn same_as_parquet(rows: &[Value], body: Vec<u8>) {
    let file = SerializedFileReader::new(Bytes::from(body)).unwrap();
    let mut read = 0;
    for (parquet, row) in file.get_row_iter(None).unwrap().zip(rows) {
        read += 1;
        let parquet = parquet.unwrap();
        let fields: BTreeMap<&String, &Field> = parquet.get_column_iter().collect();
        assert_eq!(fields.len(), row.as_object().unwrap().len());
        for (name, field) in fields {
            let value = &row[name];
            let text = || value.as_str().unwrap();
            match field {
                Field::Null => assert_eq!(value, &Value::Null, "{name}"),
                Field::Bytes(bytes) => {
                    let id = uuid::Uuid::from_slice(bytes.data()).unwrap();
                    assert_eq!(id.to_string(), text(), "{name}");
                }
                Field::TimestampMicros(micros) => {
                    let instant: schemas::Timestamp = text().parse().unwrap();
                    assert_eq!(*micros, instant.micros(), "{name}");
                }
                Field::Str(read) if value.is_string() => assert_eq!(read, text(), "{name}"),
                Field::Str(json) => {
                    assert_eq!(&serde_json::from_str::<Value>(json).unwrap(), value);
                }
                Field::Int(number) => assert_eq!(value, &Value::from(*number), "{name}"),
                Field::Long(number) => assert_eq!(value, &Value::from(*number), "{name}"),
                Field::Double(number) => assert_eq!(value, &Value::from(*number), "{name}"),
                Field::Decimal(decimal) => {
                    let unscaled = i128::from_be_bytes(decimal.data().try_into().unwrap());
                    let (whole, fraction) = text().split_once('.').unwrap_or((text(), ""));
                    assert_eq!(
                        unscaled.to_string().parse::<i128>().unwrap(),
                        format!("{whole}{fraction:0<12}").parse::<i128>().unwrap()
                    );
                    assert_eq!((decimal.precision(), decimal.scale()), (38, 12));
                }
                Field::ListInternal(list) => {
                    let texts = list.elements().iter().map(|element| match element {
                        Field::Str(text) => Value::from(text.as_str()),
                        other => panic!("{other}"),
                    });
                    assert_eq!(value, &texts.collect::<Value>(), "{name}");
                }
                other => panic!("{name}: {other}"),
            }
        }
    }
    assert_eq!(read, rows.len());
}

#[tokio::test]
async fn an_export_that_was_cut_goes_on_after_its_last_row() {
    let (world, _owner) = filled(400).await;
    let caller = Caller::admin();
    for (kind, _) in KINDS {
        let query = format!("kind={kind}&{RANGE}");
        let whole = ndjson(&world, &caller, &query).await;
        // Also between two rows of one instant, and of one id.
        for cut in (0..whole.len()).step_by(13).chain([39, 40, 79, 80]) {
            let last = &whole[cut];
            let text = |name: &str| last[name].as_str().unwrap().to_owned();
            let cursor = format!(
                "{},{},{},{}",
                text("timestamp"),
                text("event_id"),
                last["source_partition"],
                last["source_offset"]
            );
            let rest = ndjson(&world, &caller, &format!("{query}&cursor={cursor}")).await;
            assert_eq!(rest, whole[cut + 1..], "{kind} after {cut}");
            // By time and id alone, rows of the same id count as received.
            let cursor = format!("{},{}", text("timestamp"), text("event_id"));
            let rest = ndjson(
                &world,
                &caller,
                &format!("{query}&cursor={}", escaped(&cursor)),
            )
            .await;
            let same = |row: &&Value| row["event_id"] == last["event_id"];
            let twins = whole[cut + 1..].iter().take_while(same).count();
            assert_eq!(rest, whole[cut + 1 + twins..], "{kind} after {cut}");
        }
    }
}
