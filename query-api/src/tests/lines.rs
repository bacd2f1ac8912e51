//! What the numbers of a dashboard say of each other: changes and trends, as textbooks have
//! them.

use serde_json::Value;

use super::world::at;

/// The measures, and where each is in a bucket or a range.
fn measure(name: &str, of: &Value) -> Option<f64> {
    let number = |pointer: &str| of.pointer(pointer).and_then(Value::as_f64);
    match name {
        "commands" => number("/commands/count"),
        "error_rate" => number("/commands/error_rate"),
        "p95_ms" => number("/commands/execution_time_ms/p95"),
        "agents" => number("/agents/count"),
        "tokens" => Some(number("/agents/input_tokens")? + number("/agents/output_tokens")?),
        "cost_usd" => of["agents"]["cost_usd"].as_str()?.parse().ok(),
        "sessions" => number("/sessions/started"),
        "active_users" => number("/active_users"),
        "active_teams" => number("/active_teams"),
        "productivity_score" => number("/productivity_score/mean"),
        _ => panic!("{name}"),
    }
}

pub(super) fn check_change(overview: &Value) {
    let change = overview["change"].as_object().unwrap();
    assert_eq!(change.len(), 10);
    for (name, found) in change {
        let of = |range: &str| measure(name, &overview[range]);
        let expected = match (of("current"), of("previous")) {
            (Some(current), Some(previous)) if previous != 0.0 => Some(current / previous - 1.0),
            _ => None,
        };
        near(name, found, expected, 1.0);
    }
}

/// Of numbers as large as `scale`.
fn near(name: &str, found: &Value, expected: Option<f64>, scale: f64) {
    let found = found.as_f64();
    let near = found
        .zip(expected)
        .is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * (scale + b.abs()));
    assert!(
        near || (found, expected) == (None, None),
        "{name} {found:?} {expected:?}"
    );
}

/// Lines from the answer's own series.
pub(super) fn check_trends(answer: &Value) {
    let trends = answer["trends"].as_array().unwrap();
    let names: Vec<&str> = trends
        .iter()
        .map(|trend| trend["measure"].as_str().unwrap())
        .collect();
    let all = [
        "commands",
        "error_rate",
        "p95_ms",
        "agents",
        "tokens",
        "cost_usd",
    ];
    assert_eq!(names, all);
    let start = at(answer["start_date"].as_str().unwrap()).micros();
    for trend in trends {
        let name = trend["measure"].as_str().unwrap();
        let buckets = answer["series"].as_array().unwrap().iter();
        let complete = buckets.filter(|bucket| bucket["complete"] == true);
        let points: Vec<(f64, f64)> = complete
            .filter_map(|bucket| {
                let begun = at(bucket["bucket_start"].as_str().unwrap()).micros();
                Some(((begun - start) as f64 / 86_400e6, measure(name, bucket)?))
            })
            .collect();
        check_line(name, trend, &points);
    }
}

/// Slope as covariance over variance; the residuals one by one.
fn check_line(name: &str, trend: &Value, points: &[(f64, f64)]) {
    let n = points.len() as f64;
    assert_eq!(trend["points"].as_f64().unwrap(), n, "{name}");
    if points.len() < 2 {
        for member in ["slope_per_day", "intercept", "r_squared"] {
            assert_eq!(trend[member], Value::Null, "{name} {member}");
        }
        assert_eq!(trend["direction"], "unknown", "{name}");
        return;
    }
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|(x, y)| of(*x, *y)).sum::<f64>();
    let (mean_x, mean_y) = (sum(&|x, _| x) / n, sum(&|_, y| y) / n);
    let xx = sum(&|x, _| (x - mean_x).powi(2));
    let yy = sum(&|_, y| (y - mean_y).powi(2));
    let slope = sum(&|x, y| (x - mean_x) * (y - mean_y)) / xx;
    let intercept = mean_y - slope * mean_x;
    let scale = points.iter().map(|(_, y)| y.abs()).fold(0.0, f64::max);
    near(
        name,
        &trend["slope_per_day"],
        Some(slope),
        scale / xx.sqrt(),
    );
    near(name, &trend["intercept"], Some(intercept), scale);
    let left = sum(&|x, y| (y - intercept - slope * x).powi(2));
    near(
        name,
        &trend["r_squared"],
        (yy > 0.0).then(|| 1.0 - left / yy),
        1.0,
    );

    let t = slope / (left / (n - 2.0) / xx).sqrt();
    // On the edge, rounding decides.
    if (t.abs() - 2.0).abs() > 1e-6 {
        let direction = match t {
            _ if points.len() < 5 => "unknown",
            t if t > 2.0 => "up",
            t if t < -2.0 => "down",
            _ => "flat",
        };
        assert_eq!(trend["direction"], direction, "{name} {t}");
    }
}
