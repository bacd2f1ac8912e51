//! The rules and dashboards in `deploy/` against the metrics that there are.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

const NAMES: &str = include_str!("names.rs");
const FILES: [(&str, &str); 3] = [
    (
        "prometheus-rules.yml",
        include_str!("../../../deploy/prometheus-rules.yml"),
    ),
    (
        "prometheus-rules.test.yml",
        include_str!("../../../deploy/prometheus-rules.test.yml"),
    ),
    (
        "grafana/flowmeter.json",
        include_str!("../../../deploy/grafana/flowmeter.json"),
    ),
];

/// Our metrics: the constant and the macro that describes it, by name.
fn metrics() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let constants = NAMES.lines().filter_map(|line| {
        let (constant, rest) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        Some((rest.split('"').next()?, constant))
    });
    let described = |constant: &str| {
        let macros = ["counter", "gauge", "histogram"];
        let plain: String = NAMES.split_whitespace().collect();
        let found = macros
            .into_iter()
            .find(|kind| plain.contains(&format!("describe_{kind}!({constant},")));
        found.unwrap_or_else(|| panic!("{constant} is not described"))
    };
    constants
        .map(|(name, constant)| (name, (constant, described(constant))))
        .collect()
}

/// The words of a text that look like a metric of this process.
fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    // A label of dashboards and a database's table are no metrics.
    words.filter(|word| word.starts_with("flowmeter_") || word.starts_with("process_"))
}

#[test]
fn rules_and_dashboards_use_metrics_that_exist() {
    let (metrics, process) = (metrics(), super::process::render());
    assert!(metrics.len() > 40, "{}", metrics.len());
    for (file, text) in FILES {
        let mut found = 0;
        let lines = text.lines();
        for (line, word) in lines.flat_map(|line| mentioned(line).map(move |word| (line, word))) {
            found += 1;
            if line.trim_start().starts_with("action:") {
                // To people, a histogram is named as a whole.
                assert!(metrics.contains_key(word), "{file}: {word}");
                continue;
            }
            let of_process = process.contains(&format!("# TYPE {word} "));
            let parts = ["_bucket", "_sum", "_count"];
            let part_of = parts.iter().find_map(|part| word.strip_suffix(part));
            let histogram = part_of.is_some_and(|name| {
                metrics
                    .get(name)
                    .is_some_and(|(_, kind)| *kind == "histogram")
            });
            let plain = metrics
                .get(word)
                .is_some_and(|(_, kind)| *kind != "histogram");
            assert!(of_process || histogram || plain, "{file}: {word}");
        }
        assert!(found > 10, "{file}");
    }
}

#[test]
fn every_metric_is_recorded_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    for service in [
        "platform",
        "ingest-gateway",
        "aggregator",
        "sink",
        "query-api",
        "jobs",
    ] {
        read(&root.join(service).join("src"), &mut sources);
    }
    for (name, (constant, _)) in metrics() {
        let used = sources.contains(&format!("names::{constant}"))
            || sources.contains(&format!("{constant}, "));
        assert!(used, "{name} is recorded nowhere");
    }
}

/// The sources of a folder, but for the names themselves and tests.
fn read(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            read(&path, sources);
        } else if name != "names.rs" && !name.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
        }
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_can_show() {
    let dashboard: Value = serde_json::from_str(FILES[2].1).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids: Vec<_> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), panels.len(), "ids are distinct");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
        assert!(right <= 24, "{panel}");
    }
}
