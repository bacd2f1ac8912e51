//! Requests that are made before the clock starts, and are given new event ids when they are
//! sent.

use super::Plan;
use crate::workload::Workload;

/// Events of all requests together, so that they differ as those of the workload do.
const POOL: usize = 10_000;
/// What is before an id in the workload's JSON.
const BEFORE_ID: &str = "\"event_id\":\"";
/// Hexadecimal digits of the last group of a UUID, which is 24 characters behind its beginning.
const DIGITS: usize = 12;
const BEFORE_DIGITS: usize = 24;

/// The requests, in turns.
#[derive(Debug)]
pub(super) struct Requests {
    pool: Vec<Template>,
    turn: usize,
    /// Of the next event: the last group of its id.
    number: u64,
}

#[derive(Debug)]
struct Template {
    /// Head and body.
    text: Vec<u8>,
    /// Where the last groups of the ids begin.
    ids: Vec<usize>,
}

impl Requests {
    /// Those of a plan. The ids of two runs differ, too, unless a chance of 1 in 65,536 comes
    /// true.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut workload = Workload::new(plan.seed, plan.series);
        let mut body = || {
            let events: Vec<String> = (0..plan.events)
                .map(|_| {
                    let draft = workload.draft();
                    workload.json(&draft)
                })
                .collect();
            match plan.events {
                1 => events.concat(),
                _ => format!("{{\"command_executions\":[{}]}}", events.join(",")),
            }
        };
        let count = (POOL / plan.events).max(1);
        Self {
            pool: (0..count).map(|_| Template::new(plan, &body())).collect(),
            turn: 0,
            number: u64::from(rand::random::<u16>()) << 32,
        }
    }

    /// Writes the next request into a buffer, instead of what is in it.
    pub(super) fn next(&mut self, buffer: &mut Vec<u8>) {
        let template = &self.pool[self.turn];
        self.turn = (self.turn + 1) % self.pool.len();
        buffer.clear();
        buffer.extend_from_slice(&template.text);
        for at in &template.ids {
            write_hexadecimal(self.number, &mut buffer[*at..at + DIGITS]);
            self.number += 1;
        }
    }
}

impl Template {
    fn new(plan: &Plan, body: &str) -> Self {
        let text = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            plan.path,
            plan.address,
            plan.token,
            body.len()
        );
        let ids = text.match_indices(BEFORE_ID);
        let ids = ids.map(|(at, _)| at + BEFORE_ID.len() + BEFORE_DIGITS);
        Self {
            ids: ids.collect(),
            text: text.into_bytes(),
        }
    }
}

/// The last digits of a number, as many as there is room for.
fn write_hexadecimal(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    fn plan(events: usize) -> Plan {
        Plan {
            address: "h:1".to_owned(),
            path: "/p".to_owned(),
            token: "t".to_owned(),
            seed: 1,
            series: 1_000,
            events,
            connections: 1,
            seconds: 1.0,
            rate: None,
        }
    }

    #[test]
    fn the_events_are_those_of_the_workload_and_no_id_comes_twice() {
        for events in [1, 100] {
            let mut requests = Requests::new(&plan(events));
            let (mut seen, mut buffer) = (HashSet::new(), Vec::new());
            let mut workload = Workload::new(1, 1_000);
            // Once around the pool, and again.
            for number in 0..2 * POOL / events {
                requests.next(&mut buffer);
                let text = std::str::from_utf8(&buffer).unwrap();
                let (head, body) = text.split_once("\r\n\r\n").unwrap();
                assert!(head.ends_with(&format!("content-length: {}", body.len())));
                let body: Value = serde_json::from_str(body).unwrap();
                let list = match events {
                    1 => vec![body],
                    _ => body["command_executions"].as_array().unwrap().clone(),
                };
                assert_eq!(list.len(), events);
                for mut event in list {
                    let id: Uuid = event["event_id"].as_str().unwrap().parse().unwrap();
                    assert!(seen.insert(id), "{id} comes twice");
                    if number < POOL / events {
                        let draft = workload.draft();
                        let mut wanted: Value =
                            serde_json::from_str(&workload.json(&draft)).unwrap();
                        (event["event_id"], wanted["event_id"]) = (Value::Null, Value::Null);
                        assert_eq!(event, wanted);
                    }
                }
            }
        }
    }
}
